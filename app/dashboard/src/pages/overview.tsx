// What trains, how well, and what is wrong, in one glance.
import { bytes, number } from "../format";
import { useGet, usePages } from "../load";
import { link } from "../router";
import type { Job, Model, Queue, Readiness, Usage, Worker } from "../types";
import { JobTable } from "./jobs";
import { Badge, Card, Empty, Loading, ProblemNote, Time } from "../ui/parts";

const REFRESH_MS = 3000;

export function OverviewPage() {
  return (
    <>
      <header>
        <h1>Overview</h1>
        <a class="button primary" href={link("datasets", "new")}>Upload data</a>
      </header>
      <Health />
      <Running />
      <div class="grid">
        <Workers />
        <Storage />
      </div>
      <NewestModels />
    </>
  );
}

function Health() {
  // The answer of a service that is not ready is an error with the same body.
  const { value, error } = useGet<Readiness>("/readyz", {}, 10_000);
  if (error && error.status === 0) return <ProblemNote problem={error} />;
  if (!error || value) return null;
  return (
    <div class="note warn" role="status">
      <strong>The service is not ready.</strong>
      <span>Jobs wait until it is. {error.detail}</span>
    </div>
  );
}

function Running() {
  const { items, error, reload } = usePages<Job>("/v1/jobs", { limit: 10 }, REFRESH_MS);
  return (
    <Card title="Newest jobs" aside={<a href={link("jobs")}>All jobs</a>}>
      {error && <ProblemNote problem={error} onRetry={reload} />}
      {!items && !error && <Loading rows={3} />}
      {items?.length === 0 && (
        <Empty title="Nothing has been trained yet">
          <p>Upload a zip of class folders or a table; training starts from the page of the dataset.</p>
          <a class="button primary" href={link("datasets", "new")}>Upload data</a>
        </Empty>
      )}
      {items && items.length > 0 && <JobTable jobs={items} />}
    </Card>
  );
}

function Workers() {
  const workers = useGet<Worker[]>("/v1/workers", {}, REFRESH_MS * 2);
  const queues = useGet<Queue[]>("/v1/queues", {}, REFRESH_MS * 2);
  const waiting = queues.value?.reduce((sum, queue) => sum + queue.queued, 0);
  return (
    <Card title="Workers" aside={<small class="muted">{number(waiting)} waiting</small>}>
      {workers.error && <ProblemNote problem={workers.error} />}
      {workers.value?.length === 0 && <p class="muted">No worker runs, so jobs wait. Start one with <code>semblance-server worker</code>.</p>}
      <ul class="stack">
        {workers.value?.map((worker) => (
          <li key={worker.id} class="row">
            <Badge tone={worker.job ? "live" : ""}>{worker.job ? "busy" : "idle"}</Badge>
            <span title={worker.device.name ?? ""}>{worker.device.id}</span>
            {worker.job && <a href={link("jobs", worker.job)}>{worker.job}</a>}
            <small class="muted">seen <Time at={worker.seen_at} /></small>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Storage() {
  const { value, error } = useGet<Usage>("/v1/usage", {}, 30_000);
  return (
    <Card title="Storage">
      {error && <ProblemNote problem={error} />}
      {value && (
        <dl class="facts">
          <dt>Datasets</dt><dd>{bytes(value.stored.datasets)}</dd>
          <dt>Models</dt><dd>{bytes(value.stored.models)}</dd>
          <dt>Artifacts and checkpoints</dt><dd>{bytes(value.stored.artifacts)}</dd>
        </dl>
      )}
    </Card>
  );
}

function NewestModels() {
  const { items, error } = usePages<Model>("/v1/models", { limit: 6 }, 10_000);
  if (error) return <ProblemNote problem={error} />;
  if (!items?.length) return null;
  return (
    <Card title="Newest models" aside={<a href={link("models")}>All models</a>}>
      <div class="grid">
        {items.map((model) => (
          <a key={model.id} class="card" href={link("models", model.reference)}>
            <strong>{model.reference}</strong>
            <small class="muted">{model.modality}, {number(model.labels?.length)} labels, <Time at={model.created_at} /></small>
          </a>
        ))}
      </div>
    </Card>
  );
}
