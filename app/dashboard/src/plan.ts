// Validation while typing: the request with `validate_only`, sent at once when the page opens, later when the reader pauses.
import { useEffect, useRef, useState } from "preact/hooks";
import { post, type Problem } from "./api";

const PAUSE_MS = 400;

export interface Planned<T> {
  /** The newest valid plan; it stays while a change is checked. */
  plan: T | null;
  problem: Problem | null;
  busy: boolean;
}

/** POST `request` with `validate_only` to /v1/jobs; a null request is not sent. */
export function usePlan<T>(request: object | null): Planned<T> {
  const body = request && JSON.stringify({ ...request, validate_only: true });
  const [state, setState] = useState<Planned<T> & { body: string | null }>({ plan: null, problem: null, busy: false, body: null });
  const opened = useRef(false);
  useEffect(() => {
    if (!body) return;
    const pauseMs = opened.current ? PAUSE_MS : 0;
    opened.current = true;
    let current = true;
    const timer = setTimeout(
      () =>
        post<T>("/v1/jobs", JSON.parse(body)).then(
          (plan) => current && setState({ plan, problem: null, busy: false, body }),
          (problem) => current && setState((old) => ({ ...old, problem, busy: false, body })),
        ),
      pauseMs,
    );
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [body]);
  return { ...state, busy: body !== state.body };
}
