// What a job does now, and what came of it: error, warnings, progress, the new model or dataset.
import { useState } from "preact/hooks";
import { duration, number } from "../format";
import { useGet } from "../load";
import { link } from "../router";
import type { AugmentationResult, Job, Model } from "../types";
import { DatasetLink } from "../ui/dataset_link";
import { Card, Message, ProgressBar } from "../ui/parts";
import { Lift } from "./lift";
import { Verdict } from "./models";

export function JobStatus({ job }: { job: Job }) {
  const { progress } = job;
  return (
    <>
      {job.error && (
        <div class="note bad" role="alert">
          <strong>{job.error.title}</strong>
          <Message text={job.error.detail} />
          {job.error.retryable && <small>The same job may succeed if it is tried again.</small>}
        </div>
      )}
      {job.warnings.map((warning) => <div key={warning.code} class="note warn"><Message text={warning.message} /></div>)}
      {!job.terminal && (
        <Card>
          <div class="row">
            {progress.percent !== null && <span class="figure">{number(progress.percent)} %</span>}
            <span class="muted">{progressText(job)}</span>
          </div>
          {progress.percent !== null && <ProgressBar percent={progress.percent} label="Progress" />}
        </Card>
      )}
      {job.state === "succeeded" && <Result job={job} />}
    </>
  );
}

function progressText({ state, phase, queue, progress }: Job): string {
  const { step, steps, eta_s } = progress;
  const parts = [
    state === "queued" ? queue.reason?.replace(/\.$/, "") : (phase ?? state),
    steps && `step ${number(step)} of ${number(steps)}`,
    eta_s !== null && `about ${duration(eta_s)} left`,
  ];
  return parts.filter(Boolean).join(", ");
}

function Result({ job }: { job: Job }) {
  const result = job.result as Record<string, unknown> | null;
  const model = typeof result?.model === "string" ? result.model : null;
  const dataset = typeof result?.dataset === "string" ? result.dataset : null;
  if (!model && !dataset) return null;
  return (
    <>
      <div class="note">
        {model && <ReadyModel id={model} />}
        {dataset && <span>The dataset <DatasetLink id={dataset} /> is ready.</span>}
      </div>
      {job.kind === "augmentation" && <Lift result={result as unknown as AugmentationResult} />}
    </>
  );
}

const EVALUATION_POLL_MS = 5000;

/** The new model; its report is offered as soon as there is one. */
function ReadyModel({ id }: { id: string }) {
  const [polls, setPolls] = useState(true);
  const { value: model } = useGet<Model>(`/v1/models/${id}`, {}, polls ? EVALUATION_POLL_MS : 0);
  if (!model) return <span>The model is ready.</span>;
  const { state, job, verdict } = model.quality;
  if (polls && state !== "evaluating") setPolls(false);
  return (
    <span class="row">
      <span>
        The model <a href={link("models", model.reference)}>{model.reference}</a> is ready: <a href={link("models", model.reference, "playground")}>generate samples</a>
        {verdict && <> or <a href={link("models", model.reference)}>see its report</a></>}.
        {state === "evaluating" && <> {job ? <a href={link("jobs", job)}>Its evaluation</a> : "Its evaluation"} has not ended.</>}
      </span>
      <Verdict model={model} />
    </span>
  );
}
