// Server-sent events over fetch, because EventSource cannot send the Authorization header.
import { useEffect, useState } from "preact/hooks";
import { send } from "./api";

export interface ServerEvent {
  id: string;
  type: string;
  data: unknown;
}

const RETRY_MS = [500, 1000, 2000, 5000, 10000];

/** Call `onEvent` for each event of a stream until `signal` aborts; resume after a lost connection. */
export async function follow(path: string, onEvent: (event: ServerEvent) => void, signal: AbortSignal): Promise<void> {
  let lastId = "";
  for (let failures = 0; !signal.aborted; ) {
    try {
      const headers = new Headers({ accept: "text/event-stream" });
      if (lastId) headers.set("last-event-id", lastId);
      const response = await send(path, { headers, signal });
      for await (const event of readEvents(response.body!)) {
        failures = 0;
        if (event.id) lastId = event.id;
        onEvent(event);
        if (event.type === "end") return;
      }
    } catch {
      failures += 1;
    }
    if (!signal.aborted) await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]!);
  }
}

async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  let buffer = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>)) {
    buffer += chunk;
    const blocks = buffer.split(/\r?\n\r?\n/);
    buffer = blocks.pop()!;
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) yield event;
    }
  }
}

function parseEvent(block: string): ServerEvent | null {
  const event = { id: "", type: "message", data: "" };
  for (const line of block.split(/\r?\n/)) {
    const [name, value] = [line.split(":", 1)[0]!, line.slice(line.indexOf(":") + 1).replace(/^ /, "")];
    if (name === "id") event.id = value;
    else if (name === "event") event.type = value;
    else if (name === "data") event.data += (event.data ? "\n" : "") + value;
  }
  return event.data ? { ...event, data: JSON.parse(event.data) } : null;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Follow a stream while the component is shown; return a number that grows with its events, once in `pauseMs`. */
export function useEvents(path: string, pauseMs: number): number {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    void follow(path, () => {
      timer ||= setTimeout(() => { timer = 0; setVersion((count) => count + 1); }, pauseMs);
    }, abort.signal);
    return () => { abort.abort(); clearTimeout(timer); };
  }, [path]);
  return version;
}
