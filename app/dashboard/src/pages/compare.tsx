// Models side by side, and the curves of runs over each other.
import { useMemo, useState } from "preact/hooks";
import { number, score } from "../format";
import { useGet } from "../load";
import { link, route, setQuery } from "../router";
import { metricName, scoreMeaning, scoreName } from "../scores";
import type { Comparison, Job, JobsMetrics, Model } from "../types";
import { Chart, type Curve } from "../ui/chart";
import { Input } from "../ui/fields";
import { Badge, Card, Empty, Loading, Message, ProblemNote, ProblemPage, VERDICT_TONES } from "../ui/parts";
import { Scale, ScaleLegend } from "../ui/scale";

const MAX_MODELS = 12;
const MAX_RUNS = 20;

const listOf = (name: string) => (route.value.query.get(name) ?? "").split(",").filter(Boolean);
const toggle = (list: string[], item: string) => (list.includes(item) ? list.filter((other) => other !== item) : [...list, item]);

export function ComparePage() {
  const references = listOf("models");
  const models = useGet<{ data: Model[] }>("/v1/models", { limit: 100 });
  const jobs = useGet<{ data: Job[] }>("/v1/jobs", { kind: "training", limit: 100 });
  const chosenModels = references.flatMap((reference) => models.value?.data.find((model) => model.reference === reference) ?? []);
  const runs = [...new Set([...listOf("runs"), ...chosenModels.flatMap((model) => model.job ?? [])])].slice(0, MAX_RUNS);
  const names = new Map(jobs.value?.data.map((job) => [job.id, job.name || job.id]));
  for (const model of models.value?.data ?? []) if (model.job) names.set(model.job, model.reference);
  if (models.error) return <ProblemPage title="Compare" problem={models.error} onRetry={models.reload} />;
  return (
    <>
      <header><h1>Compare</h1></header>
      <div class="grid wide">
        <Card title="Models" aside={<small class="muted">choose 2 to {MAX_MODELS}</small>}>
          <Chooser label="Models" items={models.value?.data.map((model) => [model.reference, model.quality.verdict ?? ""])} chosen={references} onChange={(list) => setQuery({ models: list.slice(0, MAX_MODELS).join(",") })} empty="No models yet" />
        </Card>
        <Card title="Training runs" aside={<small class="muted">choose up to {MAX_RUNS}</small>}>
          <Chooser label="Training runs" items={jobs.value?.data.map((job) => [job.id, job.state, names.get(job.id)])} chosen={runs} onChange={(list) => setQuery({ runs: list.slice(0, MAX_RUNS).join(",") })} empty="No training yet" />
        </Card>
      </div>
      {references.length > 1 ? <Scores references={references} /> : runs.length === 0 && <Empty title="Choose at least two models, or some runs"><p>Their scores then appear side by side, and their curves in one chart. The address of this page can be shared.</p></Empty>}
      {runs.length > 0 && <Curves runs={runs} names={names} />}
    </>
  );
}

const SEARCH_FROM = 10;

interface ChooserProps {
  label: string;
  /** Value, note and text. */
  items: [string, string, string?][] | undefined;
  chosen: string[];
  onChange: (chosen: string[]) => void;
  empty: string;
}

function Chooser({ label, items, chosen, onChange, empty }: ChooserProps) {
  const [search, setSearch] = useState("");
  if (!items) return <Loading rows={3} />;
  if (items.length === 0) return <Empty title={empty} />;
  const found = items.filter(([value, , text = value]) => text.toLowerCase().includes(search.toLowerCase()) || chosen.includes(value));
  return (
    <>
      {items.length > SEARCH_FROM && <Input label="Find" value={search} onChange={setSearch} />}
      <div class="chooser tall" tabIndex={0} role="group" aria-label={label}>
        {found.map(([value, note, text = value]) => (
          <label key={value} class="check">
            <input type="checkbox" checked={chosen.includes(value)} onChange={() => onChange(toggle(chosen, value))} />
            <span>{text} <small class="muted inline">{note}</small></span>
          </label>
        ))}
      </div>
    </>
  );
}

function Scores({ references }: { references: string[] }) {
  const { value, error } = useGet<Comparison>("/v1/models/compare", { models: references.join(","), format: "json" });
  if (error) return <ProblemNote problem={error} />;
  if (!value) return <Loading rows={8} />;
  const names = [...new Set(value.models.flatMap((model) => Object.keys(model.scores)))];
  return (
    <Card title="Scores">
      <ScaleLegend />
      {value.warnings.map((warning) => <div key={warning.code} class="note warn"><Message text={warning.message} /></div>)}
      <div class="scroll" tabIndex={0} role="region" aria-label="Scores">
        <table class="comparison">
          <thead><tr><th>Score</th>{value.models.map((model) => <th key={model.model}><a href={link("models", model.reference)}>{model.reference}</a></th>)}</tr></thead>
          <tbody>
            <tr>
              <th scope="row">Verdict</th>
              {value.models.map((model) => <td key={model.model}>{model.verdict ? <Badge tone={VERDICT_TONES[model.verdict.verdict] ?? ""}>{model.verdict.verdict}</Badge> : <span class="muted">{model.state.replaceAll("_", " ")}</span>}</td>)}
            </tr>
            {names.map((name) => (
              <tr key={name}>
                <th scope="row" title={scoreMeaning(name)}>{scoreName(name)}</th>
                {value.models.map((model) => {
                  const item = model.scores[name];
                  const best = value.best[name];
                  return (
                    <td key={model.model}>
                      {item ? (
                        <>
                          <span class="row">
                            <strong>{score(item.value)}</strong>
                            {best?.reference === model.reference && <Badge tone={best.significant ? "good" : ""}>{best.significant ? "best" : "best, not certain"}</Badge>}
                          </span>
                          <Scale score={item} />
                        </>
                      ) : <span class="muted">–</span>}
                    </td>
                  );
                })}
              </tr>
            ))}
            <tr>
              <th scope="row">Training</th>
              {value.models.map(({ model, training }) => <td key={model} class="small">{training.preset}, {training.architecture}, step {number(training.step)}, {number(training.parameters)} parameters{training.cpu_s !== null ? `, ${number(training.cpu_s)} CPU-s` : ""}</td>)}
            </tr>
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Curves({ runs, names }: { runs: string[]; names: Map<string, string> }) {
  const { value, error } = useGet<JobsMetrics>("/v1/jobs/metrics", { jobs: runs.join(","), points: 500 }, 5000);
  const charts = useMemo(() => {
    const byMetric = new Map<string, Curve[]>();
    for (const job of runs) {
      for (const [name, series] of Object.entries(value?.jobs[job] ?? {})) byMetric.set(name, [...(byMetric.get(name) ?? []), { label: names.get(job) ?? job, ...series }]);
    }
    // A single value is not a curve.
    return [...byMetric].filter(([, curves]) => curves.some((curve) => curve.steps.length > 1));
  }, [value, names.size, runs.join()]);
  if (error) return <ProblemNote problem={error} />;
  return (
    <Card title="Curves">
      {!value && <Loading rows={6} />}
      {value && charts.length === 0 && <p class="muted">These runs have no metrics yet.</p>}
      <div class="grid wide">{charts.map(([name, curves]) => <Chart key={name} title={metricName(name)} curves={curves} />)}</div>
    </Card>
  );
}
