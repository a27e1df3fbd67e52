// One job: progress, curves, previews, events, files, and what can be done with it.
import { useEffect, useMemo, useState } from "preact/hooks";
import { post, type Problem } from "../api";
import { useEvents } from "../events";
import { bytes, duration, number, score } from "../format";
import { useGet } from "../load";
import { link, navigate, route, setQuery } from "../router";
import { metricName } from "../scores";
import type { Artifact, CheckpointRow, Job, JobEvent, Preview, Series } from "../types";
import { Chart, type Curve } from "../ui/chart";
import { DatasetLink } from "../ui/dataset_link";
import { confirmed } from "../ui/dialog";
import { ListTable } from "../ui/list_table";
import { Badge, Card, Empty, Loading, ProblemNote, ProblemPage, StateBadge, Time } from "../ui/parts";
import { download, Picture } from "../ui/picture";
import { JobStatus } from "./job_status";

const EVENT_PAUSE_MS = 500;
const POLL_MS = 10_000; // for the place in the queue, which causes no event

export function JobPage({ id }: { id: string }) {
  const live = useEvents(`/v1/jobs/${id}/events`, EVENT_PAUSE_MS);
  const { value: job, error, reload } = useGet<Job>(`/v1/jobs/${id}`, {}, POLL_MS, live);

  if (error && !job) return <ProblemPage title="Job" problem={error} onRetry={reload} />;
  if (!job) return <Loading rows={8} />;
  return (
    <>
      <header>
        <div class="stack">
          <h1>{job.name || job.id}</h1>
          <div class="row">
            <StateBadge state={job.state} />
            <span>{job.kind}</span>
            {job.dataset && <span>on <DatasetLink id={job.dataset} /></span>}
            {job.model && <a href={link("models", job.model)}>model</a>}
            <small class="muted mono">{job.id}</small>
          </div>
        </div>
        <Actions job={job} onChange={reload} />
      </header>
      <JobStatus job={job} />
      {job.kind === "training" && <Curves job={job} version={live} />}
      {job.kind === "training" && <Previews job={job} version={live} />}
      <div class="grid wide">
        <Checkpoints job={job} version={live} />
        <Facts job={job} />
      </div>
      <Files job={job} version={live} />
      <Events job={job} version={live} />
    </>
  );
}

const ACTIONS: Record<string, { label: string; states: string[]; danger?: boolean }> = {
  pause: { label: "Pause", states: ["running", "queued"] },
  resume: { label: "Resume", states: ["paused"] },
  retry: { label: "Try again", states: ["failed", "cancelled"] },
  cancel: { label: "Cancel", states: ["queued", "running", "paused"], danger: true },
};

function Actions({ job, onChange }: { job: Job; onChange: () => void }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const run = async (name: string) => {
    if (name === "cancel" && !(await confirmed({ title: "Cancel this job?", text: "Its checkpoints are kept.", action: "Cancel the job", isDangerous: true }))) return;
    setProblem(null);
    try {
      const changed = await post<Job>(`/v1/jobs/${job.id}/${name}`);
      if (name === "retry") navigate(link("jobs", changed.id));
      else onChange();
    } catch (error) {
      setProblem(error as Problem);
    }
  };
  return (
    <div class="stack">
      <div class="row">
        {Object.entries(ACTIONS).map(([name, action]) =>
          action.states.includes(job.state) && !(name === "pause" && job.kind !== "training") ? (
            <button key={name} type="button" class={`button ${action.danger ? "danger" : ""}`} onClick={() => run(name)}>{action.label}</button>
          ) : null,
        )}
      </div>
      {problem && <ProblemNote problem={problem} />}
    </div>
  );
}

/** Metrics by chart; metrics of other names share the last chart. */
const CHARTS: [string, (name: string) => boolean][] = [
  ["Quality", (name) => /coverage|precision|recall|density|agreement|frechet|label_accuracy|detection|distance|score/.test(name)],
  ["KL divergence of the latent noise", (name) => name === "kl"],
  ["Critic (discriminator)", (name) => /critic|accuracy|penalty/.test(name)],
  ["Losses", (name) => /loss|error/.test(name)],
];

function Curves({ job, version }: { job: Job; version: number }) {
  const { value } = useGet<Record<string, Series>>(`/v1/jobs/${job.id}/metrics`, { points: 1000 }, 0, version);
  const charts = useMemo(() => groupCurves(value ?? {}), [value]);
  if (value && charts.length === 0) {
    return job.terminal ? null : <Card title="Curves"><p class="muted">The first values appear after the first steps.</p></Card>;
  }
  return (
    <Card title="Curves">
      {!value && <Loading rows={5} />}
      <div class="grid wide">{charts.map(([title, curves]) => <Chart key={title} title={title} curves={curves} />)}</div>
    </Card>
  );
}

function groupCurves(series: Record<string, Series>): [string, Curve[]][] {
  const groups = new Map<string, Curve[]>();
  for (const [name, { steps, values }] of Object.entries(series)) {
    const title = CHARTS.find(([, accepts]) => accepts(name))?.[0] ?? "Other metrics";
    groups.set(title, [...(groups.get(title) ?? []), { label: metricName(name), steps, values }]);
  }
  return [...groups];
}

function Previews({ job, version }: { job: Job; version: number }) {
  const { value: previews } = useGet<Preview[]>(`/v1/jobs/${job.id}/previews`, {}, 0, version);
  const requested = Number(route.value.query.get("preview") ?? NaN);
  if (!previews || previews.length === 0) return null;
  const steps = previews.map((preview) => preview.step).sort((a, b) => a - b);
  const step = steps.includes(requested) ? requested : steps.at(-1)!;
  const shown = previews.find((preview) => preview.step === step)!;
  const isImage = "height" in ((job.resolved as { hyperparameters?: object }).hyperparameters ?? {});
  return (
    <Card
      title="Previews"
      aside={<button type="button" class="button small" onClick={() => download(`/v1/jobs/${job.id}/previews.gif`, `${job.name || job.id}.gif`)}>Save as GIF</button>}
    >
      <p class="muted small">{isImage ? "Samples from the same noise at each step, one row for each label." : "All columns in two dimensions: red dots are samples, black ones are real rows. Both should cover the same area."}</p>
      <label class="field">
        Step {number(step)}
        <input
          type="range" min={0} max={steps.length - 1} value={steps.indexOf(step)}
          onInput={(event) => setQuery({ preview: String(steps[Number(event.currentTarget.value)]) })}
        />
      </label>
      <div class="scroll" tabIndex={0} role="region" aria-label="Preview"><Picture path={new URL(shown.url, location.href).pathname} alt={`Samples at step ${step}`} /></div>
    </Card>
  );
}

function Facts({ job }: { job: Job }) {
  return (
    <Card title="Facts">
      <dl class="facts">
        <dt>Created</dt><dd><Time at={job.timestamps.created_at} /></dd>
        <dt>Started</dt><dd><Time at={job.timestamps.started_at} /></dd>
        <dt>Ended</dt><dd><Time at={job.timestamps.finished_at} /></dd>
        <dt>CPU time</dt><dd>{duration(job.usage.cpu_s)}</dd>
        <dt>Elapsed</dt><dd>{duration(job.usage.wall_s)}</dd>
        <dt>Priority</dt><dd>{job.priority}</dd>
        <dt>Attempt</dt><dd>{job.attempt}</dd>
        {job.retry_of && <><dt>Retry of</dt><dd><a href={link("jobs", job.retry_of)}>{job.retry_of}</a></dd></>}
      </dl>
      <details>
        <summary>Configuration</summary>
        <pre tabIndex={0}><code>{JSON.stringify(job.resolved, null, 2)}</code></pre>
      </details>
    </Card>
  );
}

function Checkpoints({ job, version }: { job: Job; version: number }) {
  const { value, reload } = useGet<CheckpointRow[]>(job.kind === "training" ? `/v1/jobs/${job.id}/checkpoints` : null);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => { if (version) reload(); }, [version]);
  if (!value || value.length === 0) return null;
  const promote = (step: number) =>
    post(`/v1/jobs/${job.id}/checkpoints/${step}/promote`).then(() => { setProblem(null); reload(); }, setProblem);
  const best = value.find((checkpoint) => checkpoint.is_best); // several may have the same score
  return (
    <Card title="Checkpoints">
      <p class="muted small">The last one becomes the model, unless an earlier one is clearly better.</p>
      {problem && <ProblemNote problem={problem} />}
      <ListTable label="Checkpoints">
        <thead><tr><th>Step</th><th class="number">Score</th><th class="number">Size</th><th>Model</th></tr></thead>
        <tbody>
          {value.map((checkpoint) => (
            <tr key={checkpoint.step}>
              <td>{number(checkpoint.step)} {checkpoint === best && <Badge tone="good">highest score</Badge>}</td>
              <td class="number">{score(checkpoint.score)}</td>
              <td class="number nowrap">{bytes(checkpoint.bytes)}</td>
              <td>
                {checkpoint.model ? <a href={link("models", checkpoint.model)}>open the model</a> : (
                  <button type="button" class="button small" onClick={() => promote(checkpoint.step)}>Make it a model</button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </ListTable>
    </Card>
  );
}

function Files({ job, version }: { job: Job; version: number }) {
  const { value } = useGet<Artifact[]>(`/v1/jobs/${job.id}/artifacts`, {}, 0, version);
  const files = value?.filter((file) => !file.name.startsWith("preview"));
  if (!files || files.length === 0) return null;
  return (
    <Card title="Files">
      <ListTable label="Files">
        <thead><tr><th>Name</th><th class="number">Size</th><th>Created</th><th><span class="hidden">Action</span></th></tr></thead>
        <tbody>
          {files.map((file) => (
            <tr key={file.name}>
              <td class="title mono">{file.name}</td>
              <td class="number">{bytes(file.bytes)}</td>
              <td><Time at={file.created_at} /></td>
              <td><button type="button" class="button small" onClick={() => download(new URL(file.url, location.href).pathname, file.name.split("/").pop()!)}>Download</button></td>
            </tr>
          ))}
        </tbody>
      </ListTable>
    </Card>
  );
}

function Events({ job, version }: { job: Job; version: number }) {
  const { value } = useGet<{ data: JobEvent[] }>(`/v1/jobs/${job.id}/events`, { limit: 200 }, 0, version);
  const events = value?.data.filter((event) => event.type !== "metrics").reverse();
  return (
    <Card title="Events">
      {!value && <Loading rows={3} />}
      {events?.length === 0 && <Empty title="Nothing has happened yet" />}
      <ul class="stack log" tabIndex={0} aria-label="Events">
        {events?.map((event) => (
          <li key={event.id} class="row">
            <small class="muted"><Time at={event.created_at} /></small>
            <Badge tone={event.level === "error" ? "bad" : event.level === "warning" ? "warn" : ""}>{event.type}</Badge>
            <span class="small">{describe(event)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function describe(event: JobEvent): string {
  const data = event.data as Record<string, unknown>;
  if (typeof data.message === "string") return data.message;
  if (event.type === "preview") return `step ${number(event.step)}`;
  return Object.entries(data).filter(([name, value]) => value !== null && typeof value !== "object" && name !== "url").map(([name, value]) => (name === event.type || name === "name" ? value : `${name} ${value}`)).join(", ");
}
