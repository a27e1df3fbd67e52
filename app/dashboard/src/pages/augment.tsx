// A larger dataset: the plan by label while typing, a preview of the transforms, then the job.
import { useEffect, useState } from "preact/hooks";
import { post, type Problem, send } from "../api";
import { curl, keywords, literal, python } from "../code";
import { number } from "../format";
import { useGet } from "../load";
import { usePlan } from "../plan";
import { link, navigate, route } from "../router";
import type { AugmentationPlan, Dataset, Job, Model } from "../types";
import { Check, errorOf, Input, Select, typed } from "../ui/fields";
import { Card, Code, Loading, Message, ProblemNote, ProblemPage } from "../ui/parts";

const STRATEGIES: [string, string][] = [
  ["balance", "as many items as the largest label"], ["fill_to", "a number of items for each label"], ["multiply", "a multiple of the real items"],
];

export function AugmentPage({ id }: { id: string }) {
  const { value: dataset, error } = useGet<Dataset>(`/v1/datasets/${id}`);
  const { value: models } = useGet<{ data: Model[] }>("/v1/models", { dataset: id, limit: 100 });
  if (error) return <ProblemPage title="Augment" problem={error} />;
  if (!dataset || !models) return <Loading rows={10} />;
  return <Form dataset={dataset} models={models.data} />;
}

function Form({ dataset, models }: { dataset: Dataset; models: Model[] }) {
  const [choices, setChoices] = useState({
    model: route.value.query.get("model") ?? models[0]?.reference ?? "", strategy: "balance", target: "", name: "", lift: true, real: true, share: "", gate: false,
  });
  const [refused, setRefused] = useState<Problem | null>(null);
  const change = (changes: Partial<typeof choices>) => { setRefused(null); setChoices((old) => ({ ...old, ...changes })); };
  const request = {
    kind: "augmentation",
    dataset: dataset.id,
    model: choices.model || undefined,
    name: choices.name.trim() || undefined,
    strategy: choices.strategy,
    target: choices.strategy === "balance" ? undefined : typed(choices.target),
    include_real: choices.real ? undefined : false,
    max_synthetic_share: typed(choices.share),
    evaluate_lift: choices.lift || undefined,
    ignore_quality_gate: choices.gate || undefined,
  };
  const planned = usePlan<AugmentationPlan>(request);
  const problem = refused ?? planned.problem;
  const start = async (event: Event) => {
    event.preventDefault();
    await post<Job>("/v1/jobs", request).then((job) => navigate(link("jobs", job.id)), setRefused);
  };
  const { kind: _, dataset: __, ...spec } = request;
  return (
    <>
      <header>
        <div class="stack"><h1>Augment</h1><span>the dataset <a href={link("datasets", dataset.id)}>{dataset.name}</a></span></div>
      </header>
      <form class="split" onSubmit={start}>
        <div class="stack">
          <Card title="How many items">
            <Select label="Each label gets" value={choices.strategy} options={STRATEGIES} onChange={(strategy) => change({ strategy })} />
            {choices.strategy !== "balance" && <Input label={choices.strategy === "fill_to" ? "Items for each label" : "Factor"} type="number" step="any" required value={choices.target} error={errorOf(problem, "target")} onChange={(target) => change({ target })} />}
            <Select label="Model" value={choices.model} options={[["", "none: only transformed real items"], ...models.map(({ reference, quality }) => [reference, `${reference} (${quality.verdict ?? quality.state.replaceAll("_", " ")})`] as [string, string])]} error={errorOf(problem, "model")} onChange={(model) => change({ model })} />
            <Check label="Measure the benefit" hint="Classifiers with and without synthetic items, compared on held-out real items." checked={choices.lift} onChange={(lift) => change({ lift })} />
            <details>
              <summary>More options</summary>
              <div class="stack">
                <Input label="Name of the new dataset" value={choices.name} placeholder={`${dataset.name} augmented`} error={errorOf(problem, "name")} onChange={(name) => change({ name })} />
                <Input label="Largest synthetic share" type="number" step="any" value={choices.share} placeholder="1" error={errorOf(problem, "max_synthetic_share")} onChange={(share) => change({ share })} />
                <Check label="Include the real items" checked={choices.real} onChange={(real) => change({ real })} />
                <Check label="Use the model although its quality gate is not met" checked={choices.gate} onChange={(gate) => change({ gate })} />
              </div>
            </details>
          </Card>
          {dataset.modality === "image" && <Transforms id={dataset.id} />}
          <Card title="The same in code">
            <Code label="curl" text={curl("POST", "/v1/jobs", request)} />
            <Code label="Python" text={python(`job = client.augment(\n    ${literal(dataset.id)},${keywords(spec)}\n)\njob = client.wait(job["id"])\nprint(job["result"]["recommendation"])`)} />
          </Card>
        </div>
        <div class="stack side">
          <Card title="Plan">
            {problem ? <ProblemNote problem={problem} /> : <Plan plan={planned.plan} />}
            <div><button class="button primary" disabled={Boolean(problem)}>Start the augmentation</button></div>
          </Card>
        </div>
      </form>
    </>
  );
}

const LABELS_SHOWN = 200;

function Plan({ plan }: { plan: AugmentationPlan | null }) {
  if (!plan) return <Loading rows={6} />;
  const skips = plan.labels.some((label) => label.skipped > 0);
  return (
    <>
      <p><span class="figure">{number(plan.items)}</span> items, {number(plan.synthetic)} of them synthetic</p>
      {plan.warnings.map((warning) => <div key={warning.code} class="note warn"><Message text={warning.message} /></div>)}
      <div class="scroll tall" tabIndex={0} role="region" aria-label="Plan by label">
        <table>
          <thead><tr><th>Label</th><th class="number">Real</th><th class="number">Transformed</th><th class="number">Generated</th>{skips && <th class="number">Skipped</th>}</tr></thead>
          <tbody>
            {plan.labels.slice(0, LABELS_SHOWN).map((label) => (
              <tr key={label.name}><td>{label.name}</td><td class="number">{number(label.real)}</td><td class="number">{number(label.transforms)}</td><td class="number">{number(label.model)}</td>{skips && <td class="number">{number(label.skipped)}</td>}</tr>
            ))}
          </tbody>
        </table>
      </div>
      {plan.labels.length > LABELS_SHOWN && <small class="muted">The first {LABELS_SHOWN} of {number(plan.labels.length)} labels.</small>}
    </>
  );
}

function Transforms({ id }: { id: string }) {
  const [seed, setSeed] = useState(0);
  const [url, setUrl] = useState<string | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    send(`/v1/datasets/${id}/transforms/preview`, { method: "POST", body: JSON.stringify({ seed }), headers: { "content-type": "application/json" }, signal: abort.signal })
      .then((response) => response.blob())
      .then((blob) => setUrl(URL.createObjectURL(blob)), (error) => abort.signal.aborted || setProblem(error));
    return () => abort.abort();
  }, [id, seed]);
  useEffect(() => () => { if (url) URL.revokeObjectURL(url); }, [url]);
  return (
    <Card title="Transformed real images" aside={<button type="button" class="button small" onClick={() => setSeed(seed + 1)}>Others</button>}>
      {problem && <ProblemNote problem={problem} />}
      {url ? <div class="scroll" tabIndex={0} role="region" aria-label="Transformed real images"><img class="picture" src={url} alt="Real images and transformed versions" /></div> : !problem && <Loading rows={4} />}
    </Card>
  );
}
