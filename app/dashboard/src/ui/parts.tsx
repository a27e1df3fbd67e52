// Small parts that all pages share: badges, bars, errors, empty states.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Problem } from "../api";
import { ago } from "../format";

export type Tone = "good" | "warn" | "bad" | "live" | "";

export const STATE_TONES: Record<string, Tone> = {
  running: "live", queued: "", paused: "warn", succeeded: "good", ready: "good", failed: "bad",
  invalid: "bad", cancelled: "", validating: "live",
};
export const VERDICT_TONES: Record<string, Tone> = {
  good: "good", fair: "warn", poor: "bad", collapsed: "bad", memorized: "bad",
};

export function Badge({ tone = "", children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

export function StateBadge({ state }: { state: string }) {
  return <Badge tone={STATE_TONES[state] ?? ""}>{state}</Badge>;
}

export function ProgressBar({ percent, label }: { percent: number | null; label: string }) {
  const value = percent ?? 0;
  return (
    <div class="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(value)}>
      <span style={{ width: `${value}%` }} />
    </div>
  );
}

/** A message of the service; names between backticks are code. */
export function Message({ text }: { text: string }) {
  return <span>{text.split("`").map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</span>;
}

/** A page that could not be loaded. */
export function ProblemPage({ title, problem, onRetry }: { title: string; problem: Problem; onRetry?: (() => void) | undefined }) {
  return (
    <>
      <header><h1>{title}</h1></header>
      <ProblemNote problem={problem} {...(problem.status !== 404 && onRetry && { onRetry })} />
    </>
  );
}

/** A problem document in words: what is wrong, in which field, and what to do. */
export function ProblemNote({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  // The detail often repeats the first field's message.
  const isRepeated = problem.fieldErrors.some((error) => problem.detail.includes(error.message));
  return (
    <div class="note bad" role="alert">
      <strong>{problem.title}</strong>
      {problem.detail && !isRepeated && <p><Message text={problem.detail} /></p>}
      {problem.fieldErrors.length > 0 && (
        <ul>
          {problem.fieldErrors.map((error) => (
            <li key={error.pointer}><code>{error.pointer.slice(1).replaceAll("/", ".")}</code>: <Message text={error.message} /></li>
          ))}
        </ul>
      )}
      {problem.requestId && <small class="muted">Request {problem.requestId}</small>}
      {onRetry && <div><button type="button" class="button" onClick={onRetry}>Try again</button></div>}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Loading({ rows = 1 }: { rows?: number }) {
  return <div class="loading" style={{ minHeight: `${rows * 2.5}rem` }} role="status" aria-label="Loading" />;
}

export function Card({ title, aside, children }: { title?: string; aside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class="card" aria-label={title}>
      {title && <header><h2>{title}</h2>{aside}</header>}
      {children}
    </section>
  );
}

export function Time({ at }: { at: string | null | undefined }) {
  if (!at) return <span class="muted">–</span>;
  return <time dateTime={at} title={new Date(at).toLocaleString()}>{ago(at)}</time>;
}

/** A code block with a button that copies it. */
export function Code({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <div class="stack code">
      <div class="row">
        <strong>{label}</strong>
        <button type="button" class="button plain small" onClick={copy}>{copied ? "Copied" : "Copy"}</button>
      </div>
      <pre tabIndex={0}><code>{text}</code></pre>
    </div>
  );
}
