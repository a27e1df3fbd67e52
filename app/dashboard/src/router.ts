// Addresses of the pages. They are in the fragment (`/#/jobs/job_01…?preview=100`), so that every
// address can be shared and the server needs no routes for pages.
import { computed, signal } from "@preact/signals";

export interface Route {
  /** Decoded segments: `["jobs", "job_01…"]`. Empty on the overview. */
  segments: string[];
  query: URLSearchParams;
}

const fragment = signal(location.hash);
addEventListener("hashchange", () => {
  fragment.value = location.hash;
  scrollTo(0, 0);
});

export const route = computed<Route>(() => parseFragment(fragment.value));

function parseFragment(text: string): Route {
  const [path = "", query = ""] = text.replace(/^#/, "").split("?", 2);
  return {
    segments: path.split("/").filter(Boolean).map(decodeURIComponent),
    query: new URLSearchParams(query),
  };
}

/** Return the address of a page: `link("jobs", id)` is `#/jobs/<id>`. */
export function link(...segments: string[]): string {
  return `#/${segments.map(encodeURIComponent).join("/")}`;
}

export function navigate(address: string): void {
  location.hash = address;
}

/** Set parameters of the current address without an entry in the history; null removes one. */
export function setQuery(changes: Record<string, string | null>): void {
  const query = new URLSearchParams(route.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(null, "", link(...route.value.segments) + (text ? `?${text}` : ""));
  fragment.value = location.hash;
}
