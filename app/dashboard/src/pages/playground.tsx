// Samples at once: choose labels or conditions, look, save, and take the code along.
import { useEffect, useState } from "preact/hooks";
import { post, type Problem, send, withQuery } from "../api";
import { curl, keywords, literal, python } from "../code";
import { number, relationText } from "../format";
import { useGet } from "../load";
import { link, navigate, route, setQuery } from "../router";
import { VERDICT_WORDS } from "../scores";
import type { Job, Model, Receipt, SamplingOptions, ServiceDescription } from "../types";
import { Check, Input, Select } from "../ui/fields";
import { Card, Code, Empty, Loading, ProblemNote, ProblemPage } from "../ui/parts";
import { download } from "../ui/picture";
import { type Row, RowTable } from "../ui/rows";
import { Conditions, type Condition, whereOf } from "./conditions";
import { LabelCounts } from "./label_counts";

/** What the reader chose; it is part of the address, so that it can be shared. */
interface Choices {
  labels: Record<string, number>;
  count: number;
  conditions: Condition[];
  balance: boolean;
  seed: number;
  truncation: number;
  path: boolean;
  from: { label: string; seed: number };
  to: { label: string; seed: number };
  steps: number;
  ignoreGate: boolean;
}

const PAUSE_MS = 300;
const SHOWN = 1000;
const FIRST_LABELS = 10;

export function PlaygroundPage({ reference }: { reference: string }) {
  const path = `/v1/models/${encodeURIComponent(reference)}`;
  const { value: model, error } = useGet<Model>(path);
  const { value: options } = useGet<SamplingOptions>(`${path}/sampling-options`);
  if (error) return <ProblemPage title="Playground" problem={error} />;
  if (!model || !options) return <Loading rows={10} />;
  return <Playground model={model} options={options} />;
}

function startOf(model: Model): Choices {
  const names = (model.modality === "image" && model.labels) || [];
  return {
    labels: Object.fromEntries(names.slice(0, FIRST_LABELS).map((name) => [name, 8])),
    count: model.modality === "image" ? 64 : 20,
    conditions: [], balance: false, seed: 1, truncation: 1, path: false,
    from: { label: names[0] ?? "", seed: 1 }, to: { label: names[1] ?? names[0] ?? "", seed: 2 }, steps: 16, ignoreGate: false,
  };
}

function choicesOf(model: Model): Choices {
  try {
    return { ...startOf(model), ...JSON.parse(route.value.query.get("choices") ?? "{}") };
  } catch {
    return startOf(model);
  }
}

/** Return the body for POST …/samples. */
function requestOf(model: Model, choices: Choices) {
  const gate = choices.ignoreGate ? { ignore_quality_gate: true } : {};
  const withLabels = model.modality === "image" && model.labels !== null;
  if (choices.path) {
    const point = ({ label, seed }: Choices["from"]) => ({ label: withLabels ? label : null, seed });
    return { interpolation: { from: point(choices.from), to: point(choices.to), steps: choices.steps }, ...gate };
  }
  const where = whereOf(choices.conditions);
  return {
    ...(withLabels ? { labels: Object.fromEntries(Object.entries(choices.labels).filter(([, count]) => count > 0)) } : { count: choices.count }),
    ...(where && { conditions: [{ where }] }),
    ...(choices.balance && !where && { balance_labels: true }),
    seed: choices.seed,
    ...(choices.truncation !== 1 && { image: { truncation: choices.truncation } }),
    ...gate,
  };
}

function Playground({ model, options }: { model: Model; options: SamplingOptions }) {
  const choices = choicesOf(model);
  const change = (changes: Partial<Choices>) => setQuery({ choices: JSON.stringify({ ...choices, ...changes }) });
  const request = requestOf(model, choices);
  const total = choices.path ? choices.steps : "labels" in request ? Object.values(request.labels!).reduce((sum, count) => sum + count, 0) : choices.count;
  return (
    <>
      <header>
        <div class="stack">
          <h1>Playground</h1>
          <span>samples of <a href={link("models", model.reference)}>{model.reference}</a></span>
        </div>
      </header>
      {model.quality.verdict && model.quality.verdict !== "good" && (
        <div class="note warn"><span><strong>{model.quality.verdict}</strong>: {VERDICT_WORDS[model.quality.verdict]} <a href={link("models", model.reference)}>See the report</a></span></div>
      )}
      <div class="split playground">
        <div class="stack">
          <Result model={model} request={request} total={total} />
          <Keep model={model} request={request} total={total} isPath={choices.path} />
        </div>
        <div class="stack side">
          {model.modality === "image" ? <ImageForm model={model} choices={choices} change={change} /> : <TableForm options={options} model={model} choices={choices} change={change} />}
        </div>
      </div>
    </>
  );
}

interface FormProps {
  model: Model;
  choices: Choices;
  change: (changes: Partial<Choices>) => void;
}

const whole = (text: string) => Math.max(0, Math.round(Number(text) || 0));

function Seed({ choices, change }: Omit<FormProps, "model">) {
  return (
    <div class="row bottom">
      <div class="grow"><Input label="Seed" type="number" min={0} value={String(choices.seed)} onChange={(text) => change({ seed: whole(text) })} /></div>
      <button type="button" class="button" onClick={() => change({ seed: Math.floor(Math.random() * 2 ** 31) })}>Other samples</button>
    </div>
  );
}

function ImageForm({ model, choices, change }: FormProps) {
  const labels = model.labels ?? [];
  return (
    <Card title="What to generate">
      <Select label="Mode" value={choices.path ? "path" : "samples"} options={[["samples", "separate images"], ["path", "a path from one image to another"]]} onChange={(mode) => change({ path: mode === "path" })} />
      {choices.path ? (
        <>
          {(["from", "to"] as const).map((end) => (
            <div key={end} class="grid pairs">
              {labels.length > 0 && <Select label={end === "from" ? "From label" : "To label"} value={choices[end].label} options={labels} onChange={(label) => change({ [end]: { ...choices[end], label } })} />}
              <Input label={end === "from" ? "From seed" : "To seed"} type="number" min={0} value={String(choices[end].seed)} onChange={(text) => change({ [end]: { ...choices[end], seed: whole(text) } })} />
            </div>
          ))}
          <Input label="Images" type="number" min={2} max={64} value={String(choices.steps)} onChange={(text) => change({ steps: whole(text) })} />
        </>
      ) : (
        <>
          <Seed choices={choices} change={change} />
          <label class="field">
            Truncation {choices.truncation}
            <input type="range" min="0.1" max="1" step="0.05" value={choices.truncation} onInput={(event) => change({ truncation: Number(event.currentTarget.value) })} />
            <small>Less gives more typical and less varied images.</small>
          </label>
          {labels.length > 0 ? (
            <LabelCounts labels={labels} counts={choices.labels} onChange={(counts) => change({ labels: counts })} />
          ) : (
            <Input label="Number of images" type="number" min={1} value={String(choices.count)} onChange={(text) => change({ count: whole(text) })} />
          )}
        </>
      )}
      <Gate model={model} choices={choices} change={change} />
    </Card>
  );
}

function TableForm({ model, options, choices, change }: FormProps & { options: SamplingOptions }) {
  return (
    <Card title="What to generate">
      <Input label="Number of rows" type="number" min={1} value={String(choices.count)} onChange={(text) => change({ count: whole(text) })} />
      <Seed choices={choices} change={change} />
      <Conditions columns={options.columns ?? []} value={choices.conditions} hint="Without conditions, rows are distributed as in the data." onChange={(conditions) => change({ conditions })} />
      {model.labels && choices.conditions.length === 0 && (
        <Check label={`The same number of rows for each ${model.target_column}`} checked={choices.balance} onChange={(balance) => change({ balance })} />
      )}
      <Gate model={model} choices={choices} change={change} />
      {options.relations && options.relations.length > 0 && (
        <details class="small">
          <summary>Relations that hold ({options.relations.length})</summary>
          <ul>{options.relations.map((relation) => <li key={relation.name} class="mono">{relationText(relation.name)}</li>)}</ul>
        </details>
      )}
    </Card>
  );
}

function Gate({ model, choices, change }: FormProps) {
  if (model.quality.failed_criteria.length === 0 && !choices.ignoreGate) return null;
  return <Check label="Generate although the quality gate is not met" checked={choices.ignoreGate} onChange={(ignoreGate) => change({ ignoreGate })} />;
}

type Shown = { url: string } | { rows: Row[] };

function Result({ model, request, total }: { model: Model; request: object; total: number }) {
  const [shown, setShown] = useState<Shown | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(true);
  const isImage = model.modality === "image";
  const isPath = "interpolation" in request;
  const body = JSON.stringify(isImage && !isPath ? { ...request, layout: "grid" } : request);
  const format = isImage ? "png" : "json";

  useEffect(() => {
    if (total < 1 || total > SHOWN) return;
    const abort = new AbortController();
    setBusy(true);
    const timer = setTimeout(async () => {
      try {
        const response = await send(`/v1/models/${model.id}/samples?format=${format}`, {
          method: "POST", body, headers: { "content-type": "application/json" }, signal: abort.signal,
        });
        setShown(isImage ? { url: URL.createObjectURL(await response.blob()) } : { rows: (await response.json()).rows });
        setProblem(null);
      } catch (error) {
        if (abort.signal.aborted) return;
        setProblem(error as Problem);
      }
      setBusy(false);
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [body, format, total < 1 || total > SHOWN]);
  useEffect(() => () => { if (shown && "url" in shown) URL.revokeObjectURL(shown.url); }, [shown]);

  if (total < 1) return <Card title="Samples"><Empty title="Choose a number of samples" /></Card>;
  if (total > SHOWN) return <Card title="Samples"><Empty title={`${number(total)} samples are too many to show`}><p>Save them as a file, or let a job generate them. Up to {number(SHOWN)} appear here.</p></Empty></Card>;
  return (
    <Card title={isPath ? "Path" : `${number(total)} samples`} aside={<small class="muted" role="status">{busy ? "Generating" : ""}</small>}>
      {problem && <ProblemNote problem={problem} />}
      {!shown && !problem && <Loading rows={8} />}
      {shown && !problem && ("url" in shown
        ? <div class="scroll" tabIndex={0} role="region" aria-label="Samples"><img class="picture" src={shown.url} alt={`${number(total)} samples of ${model.reference}`} /></div>
        : <RowTable rows={shown.rows} label="Samples" />)}
    </Card>
  );
}

// Of a generation job; the other formats are for a single response.
const JOB_FORMATS = ["tar", "zip", "npz", "parquet", "csv", "ndjson", "arrow"];

function Keep({ model, request, total, isPath }: { model: Model; request: Record<string, unknown>; total: number; isPath: boolean }) {
  const { value: service } = useGet<ServiceDescription>("/v1");
  const formats = (service?.formats[model.modality] ?? []).filter((name) => (isPath ? ["png", "gif"].includes(name) : name !== "gif"));
  const [chosen, setChosen] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [receipt, setReceipt] = useState<Receipt | null>(null);
  const format = formats.includes(chosen) ? chosen : (formats[isPath ? 0 : model.modality === "image" ? 1 : 0] ?? "");
  const path = withQuery(`/v1/models/${model.reference}/samples`, { format });
  const file = `${model.name}-${model.version}-samples.${format}`;
  const init = { method: "POST", body: JSON.stringify(request), headers: { "content-type": "application/json" } };
  const hasReceipt = !isPath && !("image" in request);
  const key = JSON.stringify(request);
  useEffect(() => setReceipt(null), [key]);
  const run = (work: Promise<unknown>) => { setProblem(null); work.catch(setProblem); };
  const jobFormat = JOB_FORMATS.includes(format) ? format : undefined;
  const startJob = () => post<Job>("/v1/jobs", { kind: "generation", model: model.id, format: jobFormat, ...request }).then((job) => navigate(link("jobs", job.id)));
  const getReceipt = () => post<Receipt>(`/v1/models/${model.id}/sample-manifests`, request).then(setReceipt);
  const call = `client.download_samples(\n    ${literal(model.reference)},\n    ${literal(file)},${keywords(format === file.split(".").at(-1) ? request : { ...request, format })}\n)`;
  return (
    <Card title="Keep these samples">
      <div class="row bottom">
        <div><Select label="Format" value={format} options={formats} onChange={setChosen} /></div>
        <button type="button" class="button primary" disabled={total < 1 || !format} onClick={() => run(download(path, file, init))}>Save as a file</button>
        {!isPath && <button type="button" class="button" disabled={total < 1} onClick={() => run(startJob())}>Generate as a job</button>}
        {hasReceipt && <button type="button" class="button" disabled={total < 1} onClick={() => run(getReceipt())}>Receipt</button>}
      </div>
      {problem && <ProblemNote problem={problem} />}
      {receipt && (
        <div class="note">
          <strong>Signed receipt</strong>
          <span>It names the weights (<code>{receipt.manifest.sha256.slice(0, 16)}…</code>) and the request. Whoever has it can generate the same {number(receipt.manifest.count)} samples again and check the signature at <code>POST /v1/sample-manifests/verify</code>.</span>
          <div><button type="button" class="button" onClick={() => saveJson(receipt, `${model.name}-${model.version}-receipt.json`)}>Save the receipt</button></div>
        </div>
      )}
      <Code label="curl" text={curl("POST", path, request, file)} />
      <Code label="Python" text={python(call)} />
    </Card>
  );
}

function saveJson(value: unknown, name: string): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(URL.revokeObjectURL, 60_000, url);
}
