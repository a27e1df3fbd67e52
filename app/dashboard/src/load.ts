// Hooks that load data: once, again at an interval, or as pages of a list.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, type Problem, type Query, withQuery } from "./api";
import { number } from "./format";

export interface Loaded<T> {
  value: T | null;
  error: Problem | null;
  reload: () => void;
}

/** GET `path` and keep the last good value while reloading: at an interval, and when `version` changes. A null path loads nothing. */
export function useGet<T>(path: string | null, query: Query = {}, everyMs = 0, version: string | number = 0): Loaded<T> {
  const address = path === null ? null : withQuery(path, query);
  const [state, setState] = useState<{ address: string | null; value: T | null; error: Problem | null }>({
    address,
    value: null,
    error: null,
  });
  const load = useRef<() => void>(() => {});
  const reload = useCallback(() => load.current(), []);

  useEffect(() => {
    if (address === null) return;
    const abort = new AbortController();
    let [busy, again] = [false, false];
    // A load that is asked for during another one follows it, so that frequent changes never
    // keep a slow answer from arriving.
    load.current = async () => {
      again = busy;
      if (busy) return;
      busy = true;
      do {
        again = false;
        await get<T>(address, {}, abort.signal).then(
          (value) => setState({ address, value, error: null }),
          (error) => {
            if (!abort.signal.aborted)
              setState((old) => ({ address, value: old.address === address ? old.value : null, error }));
          },
        );
      } while (again && !abort.signal.aborted);
      busy = false;
    };
    load.current();
    // A hidden tab does not poll.
    const timer = everyMs ? setInterval(() => document.hidden || load.current(), everyMs) : undefined;
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [address, everyMs]);

  const seen = useRef(version);
  useEffect(() => {
    if (seen.current !== version) load.current();
    seen.current = version;
  }, [version]);

  return { value: state.address === address ? state.value : null, error: state.error, reload };
}

export interface Page<T> {
  data: T[];
  next: string | null;
  total?: number;
  total_is_exact?: boolean;
}

/** The number of all items, or the bound up to which the service has counted: "1,000+". */
function totalText(page: Page<unknown> | null): string | null {
  if (page?.total === undefined) return null;
  return number(page.total) + (page.total_is_exact === false ? "+" : "");
}

/** Load a list page by page; `more` appends the next page. */
export function usePages<T>(path: string, query: Query = {}, everyMs = 0, version = 0) {
  const first = useGet<Page<T>>(path, query, everyMs, version);
  const address = withQuery(path, query);
  const [extra, setExtra] = useState<{ address: string; items: T[]; next: string | null } | null>(null);
  const current = extra?.address === address ? extra : null;
  const next = current ? current.next : (first.value?.next ?? null);
  const more = async () => {
    if (!next) return;
    const page = await get<Page<T>>(path, { ...query, after: next });
    setExtra({ address, items: [...(current?.items ?? []), ...page.data], next: page.next });
  };
  return { ...first, items: first.value ? [...first.value.data, ...(current?.items ?? [])] : null, total: totalText(first.value), next, more };
}
