// The API key of this browser tab. It is kept in session storage: closing the tab forgets it.
import { signal } from "@preact/signals";

const STORAGE_NAME = "semblance-key";

export const apiKey = signal<string | null>(sessionStorage.getItem(STORAGE_NAME));
/** The reason that ended the last session, shown on the login page. */
export const endReason = signal<string | null>(null);

export function startSession(key: string): void {
  sessionStorage.setItem(STORAGE_NAME, key);
  endReason.value = null;
  apiKey.value = key;
}

export function endSession(reason: string | null = null): void {
  sessionStorage.removeItem(STORAGE_NAME);
  endReason.value = reason;
  apiKey.value = null;
}
