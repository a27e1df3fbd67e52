// Light or dark: as the system, unless the reader chose one.
import { signal } from "@preact/signals";

export const THEMES = ["auto", "light", "dark"] as const;

const STORAGE_NAME = "semblance-theme";
const query = matchMedia("(prefers-color-scheme: dark)");

export const theme = signal(localStorage.getItem(STORAGE_NAME) ?? "auto");
/** Theme of the system; drawings on a canvas follow it. */
export const systemTheme = signal(query.matches);
query.addEventListener("change", () => { systemTheme.value = query.matches; });

export function applyTheme(name: string): void {
  theme.value = name;
  localStorage.setItem(STORAGE_NAME, name);
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}
applyTheme(theme.value);
