// Upload of a file with progress. fetch does not report the progress of a body, XMLHttpRequest does.
import { Problem } from "./api";
import { apiKey } from "./session";

export function uploadForm<T>(path: string, form: FormData, onProgress: (share: number) => void, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("authorization", `Bearer ${apiKey.value}`);
    request.setRequestHeader("idempotency-key", crypto.randomUUID());
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => {
      const body = request.response ?? {};
      if (request.status < 300) resolve(body as T);
      else reject(new Problem(request.status, body.code ?? "error", body.title ?? "The upload failed", body.detail ?? "", body.errors ?? [], body.request_id));
    };
    request.onerror = () => reject(new Problem(0, "unreachable", "The connection was lost", "If the whole file had been sent, the dataset appears in the list. Otherwise try again."));
    request.onabort = () => reject(new Problem(0, "cancelled", "The upload was cancelled", "If the whole file had been sent, the dataset still appears in the list, where you can delete it."));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
