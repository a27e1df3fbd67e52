// The list of jobs, with filters that stand in the address.
import { duration, number } from "../format";
import { usePages } from "../load";
import { link, route, setQuery } from "../router";
import type { Job } from "../types";
import { Empty, Loading, ProblemNote, ProgressBar, StateBadge, Time } from "../ui/parts";

const STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const KINDS = ["training", "generation", "evaluation", "augmentation"];

export function JobsPage() {
  const query = route.value.query;
  const filters = { state: query.get("state"), kind: query.get("kind"), dataset: query.get("dataset") };
  const { items, error, next, more, reload } = usePages<Job>("/v1/jobs", { ...filters, limit: 50 }, 3000);
  return (
    <>
      <header><h1>Jobs</h1></header>
      <div class="row">
        <Filter name="state" label="State" options={STATES} />
        <Filter name="kind" label="Kind" options={KINDS} />
      </div>
      {error && <ProblemNote problem={error} onRetry={reload} />}
      {!items && !error && <Loading rows={6} />}
      {items?.length === 0 && (
        <Empty title="No jobs">
          <p>{filters.state || filters.kind ? "No job matches these filters." : "Train a model from the page of a dataset."}</p>
          <a class="button" href={link("datasets")}>Datasets</a>
        </Empty>
      )}
      {items && items.length > 0 && <section class="card"><JobTable jobs={items} /></section>}
      {next && <div><button type="button" class="button" onClick={more}>Show more</button></div>}
    </>
  );
}

function Filter({ name, label, options }: { name: string; label: string; options: string[] }) {
  return (
    <label class="row">
      <span class="small muted">{label}</span>
      <select value={route.value.query.get(name) ?? ""} onChange={(event) => setQuery({ [name]: event.currentTarget.value })}>
        <option value="">all</option>
        {options.map((option) => <option key={option} value={option}>{option}</option>)}
      </select>
    </label>
  );
}

export function JobTable({ jobs }: { jobs: Job[] }) {
  return (
    <div class="scroll">
      <table>
        <thead><tr><th>Job</th><th>Kind</th><th>State</th><th>Progress</th><th class="number">Duration</th><th>Created</th></tr></thead>
        <tbody>
          {jobs.map((job) => (
            <tr key={job.id}>
              <td><a href={link("jobs", job.id)}>{job.name || job.id}</a></td>
              <td>{job.kind}</td>
              <td><StateBadge state={job.state} /></td>
              <td><JobProgress job={job} /></td>
              <td class="number">{job.terminal ? duration(job.usage.wall_s) : ""}</td>
              <td><Time at={job.timestamps.created_at} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function JobProgress({ job }: { job: Job }) {
  if (job.state === "running") {
    const left = job.progress.eta_s === null ? "" : `, ${duration(job.progress.eta_s)} left`;
    return (
      <div class="row">
        <ProgressBar percent={job.progress.percent} label={`Progress of ${job.name || job.id}`} />
        <small class="muted">{number(job.progress.percent)} %{left}</small>
      </div>
    );
  }
  return <small class="muted">{job.error?.title ?? job.queue.reason ?? ""}</small>;
}
