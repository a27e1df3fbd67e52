// A new training job: choices in words, checked and estimated while the reader chooses.
import { useState } from "preact/hooks";
import { post, type Problem } from "../api";
import { curl, keywords, literal, python } from "../code";
import { bytes, duration, number } from "../format";
import { useGet } from "../load";
import { usePlan } from "../plan";
import { link, navigate } from "../router";
import type { Dataset, DatasetSchema, Job, Model, Preset, TrainingPlan } from "../types";
import { Check, errorOf, Input, Select, typed } from "../ui/fields";
import { Card, Code, Loading, Message, ProblemNote, ProblemPage } from "../ui/parts";
import { Hyperparameters } from "./hyperparameters";

interface Choices {
  name: string;
  preset: string;
  budgetUnit: "" | "cpu_seconds" | "steps" | "wall_minutes";
  budget: string;
  labelled: boolean;
  target: string;
  holdout: string;
  seed: string;
  priority: string;
  evaluate: boolean;
  gate: boolean;
  earlyStopping: boolean;
  initFrom: string;
  epsilon: string;
  delta: string;
  hyperparameters: Record<string, string>;
}

const START: Choices = {
  name: "", preset: "balanced", budgetUnit: "", budget: "", labelled: true, target: "", holdout: "", seed: "",
  priority: "normal", evaluate: true, gate: false, earlyStopping: true, initFrom: "", epsilon: "", delta: "", hyperparameters: {},
};
const BUDGET_UNITS: [string, string][] = [
  ["", "as the preset"], ["cpu_seconds", "CPU seconds"], ["wall_minutes", "minutes"], ["steps", "training steps"],
];

export function TrainPage({ id }: { id: string }) {
  const { value: dataset, error, reload } = useGet<Dataset>(`/v1/datasets/${id}`);
  if (error && !dataset) return <ProblemPage title="Train a model" problem={error} onRetry={reload} />;
  if (!dataset) return <Loading rows={10} />;
  if (dataset.state !== "ready") {
    return <div class="note warn"><strong>This dataset is not ready.</strong><a href={link("datasets", id)}>See what is wrong</a></div>;
  }
  return <Form dataset={dataset} />;
}

/** Return the body for POST /v1/jobs: what differs from the defaults. */
function requestOf(dataset: Dataset, choices: Choices) {
  const isTable = dataset.modality === "tabular";
  const chosen = Object.entries(choices.hyperparameters).filter(([, text]) => text.trim() !== "");
  const isPrivate = choices.epsilon.trim() !== "" || choices.delta.trim() !== "";
  return {
    kind: "training",
    dataset: dataset.id,
    name: choices.name.trim() || undefined,
    preset: choices.preset,
    budget: choices.budgetUnit && typed(choices.budget) !== undefined ? { [choices.budgetUnit]: typed(choices.budget) } : undefined,
    conditional: choices.labelled ? undefined : false,
    target_column: isTable && choices.labelled && choices.target && choices.target !== dataset.table?.target ? choices.target : undefined,
    differential_privacy: isPrivate ? { epsilon: typed(choices.epsilon), delta: typed(choices.delta) } : undefined,
    holdout_fraction: typed(choices.holdout),
    seed: typed(choices.seed),
    priority: choices.priority === "normal" ? undefined : choices.priority,
    evaluate: choices.evaluate ? undefined : false,
    quality_gate: choices.gate ? { allowed_verdicts: ["good"] } : undefined,
    early_stopping: choices.earlyStopping ? undefined : false,
    init_from: choices.initFrom || undefined,
    hyperparameters: chosen.length > 0 ? Object.fromEntries(chosen.map(([name, text]) => [name, valueOf(text)])) : undefined,
  };
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function Form({ dataset }: { dataset: Dataset }) {
  const [choices, setChoices] = useState(START);
  const [sending, setSending] = useState(false);
  const [refused, setRefused] = useState<Problem | null>(null);
  const change = (changes: Partial<Choices>) => {
    setRefused(null);
    setChoices((old) => ({ ...old, ...changes }));
  };
  const request = requestOf(dataset, choices);
  const planned = usePlan<TrainingPlan>(request);
  const problem = refused ?? planned.problem;

  const start = async (event: Event) => {
    event.preventDefault();
    setSending(true);
    await post<Job>("/v1/jobs", request).then((job) => navigate(link("jobs", job.id)), setRefused);
    setSending(false);
  };

  return (
    <>
      <header>
        <div class="stack">
          <h1>Train a model</h1>
          <span>on <a href={link("datasets", dataset.id)}>{dataset.name}</a>, {number(dataset.train_items)} {dataset.modality === "image" ? "images" : "rows"}</span>
        </div>
      </header>
      <form class="split" onSubmit={start}>
        <div class="stack">
          <Presets dataset={dataset} value={choices.preset} onChange={(preset) => change({ preset })} />
          <Main dataset={dataset} choices={choices} change={change} problem={problem} />
          <Options dataset={dataset} choices={choices} change={change} problem={problem} />
          <Hyperparameters
            modality={dataset.modality} values={choices.hyperparameters} resolved={planned.plan?.resolved.hyperparameters ?? {}} problem={problem}
            onChange={(name, text) => change({ hyperparameters: { ...choices.hyperparameters, [name]: text } })}
          />
        </div>
        <div class="stack side">
          <Card title="This job">
            {problem ? <ProblemNote problem={problem} /> : <Estimate plan={planned.plan} isTable={dataset.modality === "tabular"} />}
            <div><button class="button primary" disabled={sending || Boolean(problem)}>Start the training</button></div>
          </Card>
          <Card title="The same in code">
            <Code label="curl" text={curl("POST", "/v1/jobs", request)} />
            <Code label="Python" text={pythonOf(request)} />
          </Card>
        </div>
      </form>
    </>
  );
}

function pythonOf(request: Record<string, unknown>): string {
  const { kind: _, dataset, ...spec } = request;
  return python(`job = client.train(\n    ${literal(dataset)},${keywords(spec)}\n)\njob = client.wait(job["id"])\nprint(job["result"]["model"])`);
}

function Presets({ dataset, value, onChange }: { dataset: Dataset; value: string; onChange: (name: string) => void }) {
  const { value: presets, error } = useGet<{ data: Preset[] }>("/v1/presets", { dataset: dataset.id });
  if (error) return <ProblemNote problem={error} />;
  return (
    <fieldset class="card">
      <legend>How well, how fast</legend>
      {!presets && <Loading rows={3} />}
      <div class="grid narrow">
        {presets?.data.map((preset) => (
          <label key={preset.name} class="choice">
            <input type="radio" name="preset" value={preset.name} checked={preset.name === value} onChange={() => onChange(preset.name)} />
            <span class="stack">
              <strong>{preset.name}</strong>
              <span class="small">{preset.description}</span>
              {preset.estimate && <small class="muted">{dataset.modality === "tabular" ? "at most" : "about"} {duration(preset.estimate.minutes * 60)}, {bytes(preset.estimate.memory_bytes)} of memory</small>}
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

interface PartProps {
  dataset: Dataset;
  choices: Choices;
  change: (changes: Partial<Choices>) => void;
  problem: Problem | null;
}

function Main({ dataset, choices, change, problem }: PartProps) {
  const isTable = dataset.modality === "tabular";
  const { value: schema } = useGet<DatasetSchema>(isTable ? `/v1/datasets/${dataset.id}/schema` : null);
  const hasLabels = isTable || (dataset.labels?.length ?? 0) > 0;
  const columns = schema?.columns.filter((column) => !column.exclude).map((column) => column.name) ?? [];
  return (
    <Card title="What to train">
      <div class="grid narrow">
        <Input label="Name of the model" value={choices.name} placeholder={dataset.name} hint="A name that exists gets a new version." error={errorOf(problem, "name")} onChange={(name) => change({ name })} />
        <Select label="Budget" value={choices.budgetUnit} options={BUDGET_UNITS} onChange={(unit) => change({ budgetUnit: unit as Choices["budgetUnit"] })} />
        {choices.budgetUnit && (
          <Input
            label={`Number of ${BUDGET_UNITS.find(([name]) => name === choices.budgetUnit)![1]}`} type="number" step="any" required value={choices.budget}
            error={errorOf(problem, `budget/${choices.budgetUnit}`)} onChange={(budget) => change({ budget })}
          />
        )}
      </div>
      {hasLabels && (
        <Check
          label={isTable ? "Train with a target column" : "Train with the labels"} hint={isTable ? "Samples can then be requested by its values." : "Samples can then be requested by label."}
          checked={choices.labelled} onChange={(labelled) => change({ labelled })}
        />
      )}
      {isTable && choices.labelled && (
        <Select
          label="Target column" value={choices.target || (dataset.table?.target ?? "")} error={errorOf(problem, "target_column")}
          options={[...(dataset.table?.target ? [] : [["", "none"] as [string, string]]), ...columns]} onChange={(target) => change({ target })}
        />
      )}
    </Card>
  );
}

function Options({ dataset, choices, change, problem }: PartProps) {
  const isTable = dataset.modality === "tabular";
  return (
    <Card title="Options">
      <Check label="Evaluate the model afterwards" hint="The report compares samples with real data that training has not seen." checked={choices.evaluate} onChange={(evaluate) => change({ evaluate })} />
      <Check label="Give samples only if the verdict is good" hint="Otherwise each request has to ask for them in spite of the verdict." checked={choices.gate} onChange={(gate) => change({ gate })} />
      {!isTable && <Check label="Stop early when samples get no better" checked={choices.earlyStopping} onChange={(earlyStopping) => change({ earlyStopping })} />}
      <details>
        <summary>More options</summary>
        <div class="grid narrow">
          <Input label="Seed" type="number" value={choices.seed} placeholder="random" hint="The same seed, data and options give the same model." error={errorOf(problem, "seed")} onChange={(seed) => change({ seed })} />
          <Input label="Held-out fraction" type="number" step="any" value={choices.holdout} placeholder="auto" hint="Real items that training never sees, from 0 to 0.5." error={errorOf(problem, "holdout_fraction")} onChange={(holdout) => change({ holdout })} />
          <Select label="Priority" value={choices.priority} options={["low", "normal", "high"]} onChange={(priority) => change({ priority })} />
          {!isTable && <StartModel choices={choices} change={change} problem={problem} dataset={dataset} />}
          {isTable && <Input label="Privacy loss ε" type="number" step="any" value={choices.epsilon} placeholder="no differential privacy" hint="Smaller protects more. Turn the evaluation off, which this bound does not cover." error={errorOf(problem, "differential_privacy/epsilon")} onChange={(epsilon) => change({ epsilon })} />}
          {isTable && <Input label="δ" type="number" step="any" value={choices.delta} placeholder="for example 0.00001" hint="Probability that the bound does not hold: less than 1 / rows." error={errorOf(problem, "differential_privacy/delta")} onChange={(delta) => change({ delta })} />}
        </div>
      </details>
    </Card>
  );
}

function StartModel({ choices, change, problem }: PartProps) {
  const { value } = useGet<{ data: Model[] }>("/v1/models", { modality: "image", limit: 100 });
  const options = value?.data.map((model) => model.reference) ?? [];
  return (
    <Select
      label="Start from" value={choices.initFrom} options={[["", "random weights"], ...options.map((name) => [name, name] as [string, string])]}
      hint="A model of images of the same size saves time." error={errorOf(problem, "init_from")} onChange={(initFrom) => change({ initFrom })}
    />
  );
}

function Estimate({ plan, isTable }: { plan: TrainingPlan | null; isTable: boolean }) {
  if (!plan) return <Loading rows={4} />;
  const { estimate, warnings } = plan;
  return (
    <>
      <span class="figure">{isTable ? "at most" : "about"} {duration(estimate.minutes * 60)}</span>
      {isTable && <small class="muted">The training ends earlier when the loss on unseen rows stops improving.</small>}
      <dl class="facts">
        <dt>Steps</dt><dd>{number(estimate.steps)}</dd>
        {estimate.evaluation_minutes !== null && <><dt>Evaluation</dt><dd>about {duration(estimate.evaluation_minutes * 60)} more</dd></>}
        <dt>Memory</dt><dd>{bytes(estimate.memory_bytes)}</dd>
        <dt>Basis</dt><dd>{estimate.basis}</dd>
      </dl>
      {warnings.map((warning) => <div key={warning.code} class="note warn"><Message text={warning.message} /></div>)}
    </>
  );
}
