// One model: how good it is, what it is made of, and what can be done with it.
import { useState } from "preact/hooks";
import { patch, type Problem, put, remove } from "../api";
import { bytes, number } from "../format";
import { useGet } from "../load";
import { link, navigate } from "../router";
import type { Model, ModelCard } from "../types";
import { DatasetLink } from "../ui/dataset_link";
import { confirmed, entered } from "../ui/dialog";
import { Badge, Card, Loading, Message, ProblemNote, ProblemPage, Time } from "../ui/parts";
import { download } from "../ui/picture";
import { Verdict } from "./models";
import { ReportView } from "./report";

export function ModelPage({ reference }: { reference: string }) {
  const [waiting, setWaiting] = useState(false);
  const { value: model, error, reload } = useGet<Model>(`/v1/models/${encodeURIComponent(reference)}`, {}, waiting ? 3000 : 0);
  const evaluating = model?.quality.state === "evaluating";
  if (model && evaluating !== waiting) setWaiting(evaluating);
  if (error && !model) return <ProblemPage title="Model" problem={error} onRetry={reload} />;
  if (!model) return <Loading rows={10} />;
  return (
    <>
      <Header model={model} onChange={reload} />
      <ReportView model={model} version={`${model.quality.state} ${model.quality.job}`} onChange={reload} />
      <div class="grid wide">
        <Facts model={model} />
        <div class="stack">
          <Versions model={model} onChange={reload} />
          <Limitations model={model} />
        </div>
      </div>
    </>
  );
}

function Header({ model, onChange }: { model: Model; onChange: () => void }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const path = `/v1/models/${model.id}`;
  const describe = async () => {
    const description = await entered({ title: `Describe ${model.reference}`, action: "Save", field: { label: "Description", value: model.description ?? "", maxLength: 1000, required: false } });
    if (description !== null) await patch(path, { description: description || null }).then(onChange, setProblem);
  };
  const drop = async () => {
    if (!(await confirmed({ title: `Delete the model “${model.reference}”?`, text: "Its samples cannot be generated again.", action: "Delete", isDangerous: true }))) return;
    await remove(path).then(() => navigate(link("models")), setProblem);
  };
  return (
    <>
      <header>
        <div class="stack">
          <h1>{model.reference}</h1>
          <div class="row">
            <Verdict model={model} />
            <span>{model.modality === "image" ? "images" : "table"}</span>
            {model.aliases.map((alias) => <Badge key={alias}>{alias}</Badge>)}
            <small class="muted mono">{model.id}</small>
          </div>
          {model.description && <p>{model.description}</p>}
        </div>
        <div class="row">
          <button type="button" class="button" onClick={describe}>Describe</button>
          <button type="button" class="button" onClick={() => download(`${path}/export`, `${model.name}-${model.version}.zip`).catch(setProblem)}>Export</button>
          <button type="button" class="button" onClick={drop}>Delete</button>
          {model.dataset && <a class="button" href={`${link("datasets", model.dataset, "augment")}?model=${encodeURIComponent(model.reference)}`}>Augment data</a>}
          <a class="button primary" href={link("models", model.reference, "playground")}>Generate samples</a>
        </div>
      </header>
      {problem && <ProblemNote problem={problem} />}
    </>
  );
}

function Facts({ model }: { model: Model }) {
  return (
    <Card title="Facts">
      <dl class="facts">
        {model.dataset && <><dt>Dataset</dt><dd><DatasetLink id={model.dataset} /></dd></>}
        {model.job && <><dt>Training</dt><dd><a href={link("jobs", model.job)}>curves, previews and checkpoints</a>, step {number(model.step)}</dd></>}
        {model.image && <><dt>Images</dt><dd>{model.image.width} × {model.image.height}, {model.image.channels === 1 ? "gray" : "color"}</dd></>}
        {model.columns && <><dt>Columns</dt><dd>{number(model.columns.length)}</dd></>}
        {model.target_column && <><dt>Target column</dt><dd>{model.target_column}</dd></>}
        <dt>Labels</dt><dd>{model.labels ? number(model.labels.length) : "none"}</dd>
        <dt>Preset</dt><dd>{model.training.preset}</dd>
        <dt>Parameters</dt><dd>{number(model.parameters)}</dd>
        <dt>Weights</dt><dd>{bytes(model.bytes)}</dd>
        <dt>SHA-256</dt><dd class="mono">{model.sha256}</dd>
        <dt>Created</dt><dd><Time at={model.created_at} /></dd>
      </dl>
      <details>
        <summary>Configuration</summary>
        <pre tabIndex={0}><code>{JSON.stringify(model.training, null, 2)}</code></pre>
      </details>
    </Card>
  );
}

function Versions({ model, onChange }: { model: Model; onChange: () => void }) {
  const { value } = useGet<{ data: Model[] }>("/v1/models", { name: model.name, limit: 50 });
  const [alias, setAlias] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const path = `/v1/models/${model.id}/aliases`;
  const run = (change: Promise<unknown>) => change.then(() => { setProblem(null); setAlias(""); onChange(); }, setProblem);
  const add = (event: Event) => {
    event.preventDefault();
    void run(put(`${path}/${encodeURIComponent(alias)}`));
  };
  const others = value?.data.filter((other) => other.id !== model.id) ?? [];
  return (
    <Card title="Versions and aliases" aside={others.length > 0 ? <a href={`${link("compare")}?models=${encodeURIComponent(value!.data.slice(0, 12).map((other) => other.reference).join(","))}`}>Compare versions</a> : undefined}>
      <ul class="stack">
        {value?.data.map((other) => (
          <li key={other.id} class="row">
            {other.id === model.id ? <strong>{other.reference}</strong> : <a href={link("models", other.reference)}>{other.reference}</a>}
            <Verdict model={other} />
            {other.aliases.map((name) => <Badge key={name}>{name}</Badge>)}
            <small class="muted"><Time at={other.created_at} /></small>
          </li>
        ))}
      </ul>
      {model.aliases.map((name) => (
        <div key={name} class="row">
          <span><code>{model.name}@{name}</code> is this version.</span>
          <button type="button" class="button small" onClick={() => run(remove(`${path}/${encodeURIComponent(name)}`))}>Remove the alias {name}</button>
        </div>
      ))}
      <form class="row" onSubmit={add}>
        <label class="field grow">New alias<input value={alias} required maxLength={64} placeholder="production" onInput={(event) => setAlias(event.currentTarget.value)} /><small>A program that asks for <code>{model.name}@{alias || "production"}</code> gets this version.</small></label>
        <button class="button">Add</button>
      </form>
      {problem && <ProblemNote problem={problem} />}
    </Card>
  );
}

function Limitations({ model }: { model: Model }) {
  const { value, error } = useGet<ModelCard>(`/v1/models/${model.id}/card`, { format: "json" });
  const save = (format: string) => download(`/v1/models/${model.id}/card?format=${format}`, `${model.name}-${model.version}-card.${format}`);
  return (
    <Card
      title="Model card"
      aside={<div class="row"><button type="button" class="button small" onClick={() => save("html")}>Save as HTML</button><button type="button" class="button small" onClick={() => save("json")}>JSON</button></div>}
    >
      {error && <ProblemNote problem={error} />}
      {!value && !error && <Loading rows={3} />}
      {value && (
        <>
          <strong>What to consider before samples are used</strong>
          <ul>{value.limitations.map((text) => <li key={text}><Message text={text} /></li>)}</ul>
          <small class="muted">Trained with {Object.entries(value.training.code).map(([name, version]) => `${name} ${version}`).join(", ")}; seed {value.training.seed}.</small>
        </>
      )}
    </Card>
  );
}
