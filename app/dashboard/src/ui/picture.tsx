// Images that need the API key: fetched, then shown as blobs.
import { useEffect, useState } from "preact/hooks";
import { Problem, send } from "../api";
import { ProblemNote } from "./parts";

export function useBlob(path: string | null): { url: string | null; problem: Problem | null } {
  const [state, setState] = useState<{ url: string | null; problem: Problem | null }>({ url: null, problem: null });
  useEffect(() => {
    if (!path) return;
    const abort = new AbortController();
    let url: string | null = null;
    send(path, { signal: abort.signal })
      .then((response) => response.blob())
      .then((blob) => {
        url = URL.createObjectURL(blob);
        setState((old) => {
          // The old picture stays until the new one is there, so that nothing flickers.
          if (old.url) setTimeout(URL.revokeObjectURL, 1000, old.url);
          return { url, problem: null };
        });
      })
      .catch((problem) => abort.signal.aborted || setState({ url: null, problem }));
    return () => abort.abort();
  }, [path]);
  return state;
}

export function Picture({ path, alt }: { path: string | null; alt: string }) {
  const { url, problem } = useBlob(path);
  if (problem) return <ProblemNote problem={problem} />;
  return url ? <img class="picture" src={url} alt={alt} /> : <div class="loading" role="status" aria-label="Loading the picture" />;
}

/** Save the answer of a GET or POST as a file. */
export async function download(path: string, name: string, init: RequestInit = {}): Promise<void> {
  const response = await send(path, init);
  const url = URL.createObjectURL(await response.blob());
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(URL.revokeObjectURL, 60_000, url);
}
