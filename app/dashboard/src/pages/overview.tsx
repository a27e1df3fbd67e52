// What trains, how well, and what is wrong, in one glance.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useEvents } from "../events";
import { bytes, duration, number, score } from "../format";
import { useGet, usePages } from "../load";
import { link } from "../router";
import { scoreName } from "../scores";
import type { Job, Model, Queue, Readiness, Usage, Worker } from "../types";
import { Badge, Card, Empty, Loading, Message, ProblemNote, Time } from "../ui/parts";
import { JobTable } from "./jobs";
import { Verdict } from "./models";

const EVENT_PAUSE_MS = 2000;
// Workers that are lost, and disks that fill up, cause no event.
const POLL_MS = 15_000;

export function OverviewPage() {
  const version = useEvents("/v1/events", EVENT_PAUSE_MS);
  const jobs = usePages<Job>("/v1/jobs", { limit: 10 }, POLL_MS, version);
  const failed = usePages<Job>("/v1/jobs", { state: "failed", limit: 20 }, POLL_MS, version);
  const workers = useGet<Worker[]>("/v1/workers", {}, POLL_MS, version);
  const queues = useGet<Queue[]>("/v1/queues", {}, POLL_MS, version);
  const usage = useGet<Usage>("/v1/usage", {}, 2 * POLL_MS);
  const recent = failed.items?.filter(isRecent) ?? null;
  return (
    <>
      <header>
        <h1>Overview</h1>
        <a class="button primary" href={link("datasets", "new")}>Upload data</a>
      </header>
      <div class="tiles">
        <Tile title="Running" value={sum(queues.value, "running")} href={`${link("jobs")}?state=running`}>{nextEnd(jobs.items)}</Tile>
        <Tile title="Waiting" value={sum(queues.value, "queued")} href={`${link("jobs")}?state=queued`}>{oldestWait(queues.value)}</Tile>
        <Tile title="Failed" value={recent && number(recent.length)} isBad={Boolean(recent?.length)} href={`${link("jobs")}?state=failed`}>in 24 hours</Tile>
        <Tile title="Workers" value={workers.value && number(workers.value.length)} isBad={workers.value?.length === 0}>
          {workers.value && (workers.value.length === 0 ? "jobs wait" : busyText(workers.value))}
        </Tile>
        <Tile title="Stored" value={usage.value && bytes(usage.value.stored.datasets + usage.value.stored.models + usage.value.stored.artifacts)} href={link("settings")}>
          {usage.value && `datasets ${bytes(usage.value.stored.datasets)}, models ${bytes(usage.value.stored.models)}`}
        </Tile>
      </div>
      <Attention failed={recent ?? []} workers={workers.value ?? []} />
      <Card title="Newest jobs" aside={<a href={link("jobs")}>All jobs</a>}>
        {jobs.error && <ProblemNote problem={jobs.error} onRetry={jobs.reload} />}
        {!jobs.items && !jobs.error && <Loading rows={5} />}
        {jobs.items?.length === 0 && (
          <Empty title="Nothing has been trained yet">
            <p>Upload a zip of class folders or a table; training starts from the page of the dataset.</p>
            <a class="button primary" href={link("datasets", "new")}>Upload data</a>
          </Empty>
        )}
        {jobs.items && jobs.items.length > 0 && <JobTable jobs={jobs.items} />}
      </Card>
      <div class="grid wide">
        <NewestModels version={version} />
        <Workers workers={workers.value} />
      </div>
    </>
  );
}

const DAY_MS = 86_400_000;
const isRecent = (job: Job) => Date.now() - Date.parse(job.timestamps.finished_at ?? job.timestamps.created_at) < DAY_MS;

const sum = (queues: Queue[] | null, field: "running" | "queued") => queues && number(queues.reduce((total, queue) => total + queue[field], 0));

function nextEnd(jobs: Job[] | null): string {
  const left = jobs?.flatMap((job) => (job.state === "running" ? job.progress.eta_s ?? [] : [])) ?? [];
  return left.length > 0 ? `next ends in ${duration(Math.min(...left))}` : "";
}

function oldestWait(queues: Queue[] | null): string {
  const oldest = Math.max(0, ...(queues ?? []).map((queue) => queue.oldest_s ?? 0));
  return oldest > 0 ? `longest for ${duration(oldest)}` : "";
}

interface TileProps {
  title: string;
  /** null while loading. */
  value: string | null;
  isBad?: boolean;
  href?: string;
  children?: ComponentChildren;
}

function Tile({ title, value, isBad, href, children }: TileProps) {
  const content = (
    <>
      <span class="muted">{title}</span>
      <strong class="figure">{value ?? "–"}</strong>
      <small class="muted">{children || " "}</small>
    </>
  );
  const classes = `card tile ${isBad ? "bad" : ""}`;
  return href ? <a class={classes} href={href}>{content}</a> : <div class={classes}>{content}</div>;
}

const FAILED_SHOWN = 5;

/** What an operator has to look at: failed checks, devices that do not work, jobs that failed. */
function Attention({ failed, workers }: { failed: Job[]; workers: Worker[] }) {
  const checks = Object.entries(useReadiness()).filter(([, reason]) => reason !== "ok");
  const broken = workers.filter((worker) => worker.device.error);
  if (checks.length + broken.length + failed.length === 0) return null;
  return (
    <Card title="Needs attention">
      <ul class="stack">
        {checks.map(([name, reason]) => <li key={name} class="row"><Badge tone="bad">{name}</Badge><Message text={reason} /></li>)}
        {broken.map((worker) => <li key={worker.id} class="row"><Badge tone="bad">device</Badge><span>{worker.device.id} on {worker.host}: {worker.device.error}</span></li>)}
        {failed.slice(0, FAILED_SHOWN).map((job) => (
          <li key={job.id} class="row">
            <Badge tone="bad">failed</Badge>
            <a href={link("jobs", job.id)}>{job.name || job.id}</a>
            {job.error && <Message text={job.error.detail || job.error.title} />}
            <small class="muted">{job.kind}, <Time at={job.timestamps.finished_at} /></small>
          </li>
        ))}
      </ul>
      {failed.length > FAILED_SHOWN && <a href={`${link("jobs")}?state=failed`}>All failed jobs</a>}
    </Card>
  );
}

/** Return `ok` or the reason by check. A service that is not ready answers 503 with the same body. */
function useReadiness(): Record<string, string> {
  const [checks, setChecks] = useState<Record<string, string>>({});
  useEffect(() => {
    const load = () => document.hidden || fetch("/readyz").then((response) => response.json()).then(
      (body: Readiness) => setChecks(body.checks ?? {}),
      () => setChecks({ server: "The server does not respond. Check that it is running." }),
    );
    load();
    const timer = setInterval(load, POLL_MS);
    return () => clearInterval(timer);
  }, []);
  return checks;
}

function Workers({ workers }: { workers: Worker[] | null }) {
  return (
    <Card title="Workers">
      {!workers && <Loading />}
      {workers?.length === 0 && <p class="muted">No worker runs, so jobs wait. Start one with <code>semblance-server worker</code>.</p>}
      <ul class="stack">
        {workers?.map((worker) => (
          <li key={worker.id} class="row">
            <Badge tone={worker.device.error ? "bad" : worker.job ? "live" : ""}>{worker.device.error ? "broken" : worker.job ? "busy" : "idle"}</Badge>
            <span>{worker.device.id}{worker.device.name && <span class="muted"> {worker.device.name}</span>}</span>
            {worker.job && <a href={link("jobs", worker.job)}>its job</a>}
            <small class="muted">{worker.host}, {number(worker.cpus)} cores, {bytes(worker.memory_bytes)}, seen <Time at={worker.seen_at} /></small>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function NewestModels({ version }: { version: number }) {
  const { items, error } = usePages<Model>("/v1/models", { limit: 6 }, 0, version);
  return (
    <Card title="Newest models" aside={<a href={link("models")}>All models</a>}>
      {error && <ProblemNote problem={error} />}
      {!items && !error && <Loading />}
      {items?.length === 0 && <p class="muted">A model appears here when its training ends.</p>}
      <ul class="stack">
        {items?.map((model) => (
          <li key={model.id} class="row">
            <a href={link("models", model.reference)}><strong>{model.reference}</strong></a>
            <Verdict model={model} />
            <span class="small">{mainScore(model)}</span>
            <small class="muted">{model.modality === "image" ? "images" : "table"}, <Time at={model.created_at} /></small>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function mainScore(model: Model): string {
  const [name, first] = Object.entries(model.quality.scores)[0] ?? [];
  return name && first ? `${scoreName(name)} ${score(first.value)}` : "";
}

function busyText(workers: Worker[]): string {
  const busy = workers.filter((worker) => worker.job).length;
  return busy === 0 ? "all idle" : busy === workers.length ? "all busy" : `${number(busy)} busy`;
}
