// Requests to the REST API. A failed request throws Problem, the problem document of RFC 9457.
import { apiKey, endSession } from "./session";

export interface FieldError {
  /** JSON pointer of the field: `/budget/steps`. */
  pointer: string;
  message: string;
}

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly fieldErrors: FieldError[] = [],
    readonly requestId: string | null = null,
  ) {
    super(detail || title);
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

/** Return the path with the query; null, undefined and "" leave a parameter out. */
export function withQuery(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

/** Send a request with the key of the session; throw Problem unless it succeeds. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (apiKey.value) headers.set("authorization", `Bearer ${apiKey.value}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "The server does not respond", "Check that it is running, then try again.");
  }
  if (response.ok) return response;
  const problem = await readProblem(response);
  if (response.status === 401 && apiKey.value) endSession("The server does not accept this key any more.");
  throw problem;
}

async function readProblem(response: Response): Promise<Problem> {
  const body = await response.json().catch(() => ({}));
  return new Problem(
    response.status,
    body.code ?? "error",
    body.title ?? response.statusText,
    body.detail ?? "",
    body.errors ?? [],
    response.headers.get("x-request-id"),
  );
}

async function sendJson<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers = new Headers();
  if (body !== undefined) headers.set("content-type", "application/json");
  // A repeated POST, for example after a lost connection, must not create a second job.
  if (method === "POST") headers.set("idempotency-key", crypto.randomUUID());
  const response = await send(path, { method, headers, body: body === undefined ? null : JSON.stringify(body), signal });
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal) =>
  sendJson<T>("GET", withQuery(path, query), undefined, signal);
export const post = <T>(path: string, body?: unknown) => sendJson<T>("POST", path, body);
export const put = <T>(path: string, body?: unknown) => sendJson<T>("PUT", path, body);
export const patch = <T>(path: string, body?: unknown) => sendJson<T>("PATCH", path, body);
export const remove = <T>(path: string) => sendJson<T>("DELETE", path);
