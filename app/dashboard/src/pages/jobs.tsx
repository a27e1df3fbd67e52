// The list of jobs, with filters that are part of the address.
import { useEvents } from "../events";
import { duration, number } from "../format";
import { usePages } from "../load";
import { link, route, setQuery } from "../router";
import type { AugmentationResult, EvaluationResult, Job, TrainingResult } from "../types";
import { Input, Select } from "../ui/fields";
import { ListTable } from "../ui/list_table";
import { Badge, Empty, Loading, ProblemNote, ProgressBar, StateBadge, Time, VERDICT_TONES } from "../ui/parts";

const STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const KINDS = ["training", "generation", "evaluation", "augmentation"];
const EVENT_PAUSE_MS = 2000;

export function JobsPage() {
  const query = route.value.query;
  const name = query.get("name");
  const filters = { state: query.get("state"), kind: query.get("kind"), dataset: query.get("dataset") };
  const version = useEvents("/v1/events", EVENT_PAUSE_MS);
  const { items, total, error, next, more, reload } = usePages<Job>("/v1/jobs", { ...filters, name: name && `${name}*`, sort: query.get("sort"), limit: 50 }, 0, version);
  return (
    <>
      <header><div class="row"><h1>Jobs</h1>{total !== null && <span class="muted">{total}</span>}</div></header>
      <div class="filters">
        <Input label="Name begins with" value={name ?? ""} onChange={(text) => setQuery({ name: text })} />
        <Filter name="state" label="State" options={STATES} />
        <Filter name="kind" label="Kind" options={KINDS} />
        <Select label="Order" value={query.get("sort") ?? ""} options={[["", "newest first"], ["created_at", "oldest first"], ["name", "by name"]]} onChange={(sort) => setQuery({ sort })} />
      </div>
      {error && <ProblemNote problem={error} onRetry={reload} />}
      {!items && !error && <Loading rows={6} />}
      {items?.length === 0 && (
        <Empty title="No jobs">
          <p>{filters.state || filters.kind || name ? "No job matches these filters." : "Train a model from the page of a dataset."}</p>
          <a class="button" href={link("datasets")}>Datasets</a>
        </Empty>
      )}
      {items && items.length > 0 && <section class="card"><JobTable jobs={items} /></section>}
      {next && <div><button type="button" class="button" onClick={more}>Show more</button></div>}
    </>
  );
}

function Filter({ name, label, options }: { name: string; label: string; options: string[] }) {
  return <Select label={label} value={route.value.query.get(name) ?? ""} options={[["", "all"], ...options.map((option) => [option, option] as [string, string])]} onChange={(value) => setQuery({ [name]: value })} />;
}

export function JobTable({ jobs }: { jobs: Job[] }) {
  return (
    <ListTable label="Jobs">
      <thead><tr><th>Job</th><th>Kind</th><th>State</th><th>Result</th><th class="number">Duration</th><th>Created</th></tr></thead>
      <tbody>
        {jobs.map((job) => (
          <tr key={job.id}>
            <td class="title"><a href={link("jobs", job.id)}>{job.name || job.id}</a></td>
            <td>{job.kind}</td>
            <td><StateBadge state={job.state} /></td>
            <td class="progress"><JobProgress job={job} /></td>
            <td class="number">{job.terminal && duration(job.usage.wall_s)}</td>
            <td class="nowrap"><Time at={job.timestamps.created_at} /></td>
          </tr>
        ))}
      </tbody>
    </ListTable>
  );
}

function JobProgress({ job }: { job: Job }) {
  if (job.state === "running") {
    const left = job.progress.eta_s === null ? "" : `, ${duration(job.progress.eta_s)} left`;
    const text = job.progress.percent === null ? job.phase : `${number(job.progress.percent)} %${left}`;
    return (
      <div class="row">
        {job.progress.percent !== null && <ProgressBar percent={job.progress.percent} label={`Progress of ${job.name || job.id}`} />}
        <small class="muted">{text}</small>
      </div>
    );
  }
  if (job.state === "succeeded") return <JobResult job={job} />;
  const reason = job.error?.title ?? job.queue.reason;
  return reason ? <small class="muted">{reason}</small> : null;
}

function JobResult({ job }: { job: Job }) {
  if (job.kind === "training") {
    const { model_version } = job.result as TrainingResult;
    return <a href={link("models", model_version)}>{model_version}</a>;
  }
  if (job.kind === "evaluation") {
    const { verdict } = job.result as EvaluationResult;
    return <Badge tone={VERDICT_TONES[verdict] ?? ""}>{verdict}</Badge>;
  }
  if (job.kind === "augmentation") {
    const { dataset, items } = job.result as AugmentationResult;
    return <a href={link("datasets", dataset)}>{number(items)} items</a>;
  }
  return null;
}
