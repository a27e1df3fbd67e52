"""Request and response bodies of jobs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.schemas.hyperparameters import Hyperparameters
from app.schemas.samples import SampleSelection
from app.schemas.warnings import WarningView
from app.schemas.webhooks import JobWebhookOrUrl
from core import jobs
from core.evaluation import MAX_SAMPLES, MIN_HOLDOUT_ITEMS
from core.request_fields import ModelName, RequestModel, Seed, Tags
from core.tables import Artifact, Checkpoint, Event, Job, JobKind
from core.training import (
    Budget,
    CheckpointPolicy,
    DifferentialPrivacy,
    EarlyStoppingSetting,
    QualityGate,
)
from models.images.settings import PRESETS

Preset = Literal["fast", "balanced", "quality"]
assert set(PRESETS) == set(Preset.__args__)  # type: ignore[attr-defined]  # noqa: S101 - kept in sync


Priority = Annotated[
    Literal["low", "normal", "high"],
    Field(
        description="Priority in the queue. `high` moves a job ahead by one hour of waiting time, "
        "`low` moves it back by one hour. Default: normal."
    ),
]


class JobProblem(BaseModel):
    """Reason why a job failed: a problem document (RFC 9457) without an HTTP status."""

    type: str = Field(description="URN of the problem type: `urn:semblance:problem:{code}`.")
    title: str = Field(description="Short name of the problem type.")
    detail: str = Field(description="Explanation for people.")
    code: str = Field(description="Stable code of the problem, for use in programs.")
    retryable: bool = Field(description="Whether the same job may succeed later.")


class TrainingRequest(RequestModel):
    """Train a model. `preset` sets everything; any other value is explicit or `"auto"`."""

    kind: Literal["training"]
    dataset: str = Field(description="Id of the training dataset (`ds_…`).")
    name: ModelName | None = Field(
        None, description="Name of the model. Default: the dataset's name."
    )
    conditional: bool | None = Field(
        None,
        description="Whether samples can be requested by label. Default: true if the dataset has "
        "labels or, for a table, a target column. `false` trains without labels.",
    )
    target_column: Annotated[str, Field(min_length=1, max_length=1_024)] | None = Field(
        None,
        description="Tables only: the column whose values are the labels. Default: the dataset's "
        "target, or none with `conditional: false`.",
    )
    preset: Preset = Field(
        "balanced", description="Trade-off between speed and quality. Default: balanced."
    )
    hyperparameters: Hyperparameters = Field(
        {},
        description="Hyperparameters of the dataset's modality. Default: each is `auto`, chosen "
        "from the preset and the dataset.",
    )
    budget: Budget | None = Field(
        None, description="When training stops. Default: given by the preset."
    )
    checkpoint: CheckpointPolicy = Field(
        CheckpointPolicy(), description="When checkpoints are saved, and how many are kept."
    )
    holdout_fraction: Annotated[float, Field(ge=0, le=0.5)] | Literal["auto"] = Field(
        "auto",
        description="Fraction of the items that is held out for evaluation and never trained on. "
        "Default `auto`: 0.1, but at most 1,000 images or 10,000 rows; 0 with "
        "`differential_privacy`.",
    )
    early_stopping: EarlyStoppingSetting = Field(
        "auto",
        description="Images only: when to stop before the budget is used. Default `auto`: "
        "a `patience` of 7. `false` disables early stopping, even for a collapsed run.",
    )
    init_from: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None,
        description="Images only: model whose networks are the starting point (`name`, "
        "`name:version`, `name@alias` or `mdl_…`). Labels that it does not have are added. "
        "Default: random initialization.",
    )
    differential_privacy: DifferentialPrivacy | None = Field(
        None,
        description="Tables only: train with differential privacy. Options that `epsilon` does not "
        "cover are rejected. Default: none.",
    )
    seed: Seed | None = Field(
        None, description="Random seed. Default: a random one, returned in `resolved`."
    )
    evaluate: bool | None = Field(
        None,
        description="Create an evaluation job after training. Default: true, unless the operator "
        "has set `auto_evaluate` to false. Not allowed with `differential_privacy`.",
    )
    quality_gate: QualityGate | None = Field(
        None,
        description="Criteria that the evaluation must meet. Until it does, samples of the model "
        "require `ignore_quality_gate`. Implies `evaluate`. Default: none.",
    )
    priority: Priority = "normal"
    tags: Tags = {}
    webhook: JobWebhookOrUrl | None = Field(
        None, description="Webhook for this job, in addition to the tenant's webhooks."
    )
    validate_only: bool = Field(
        False,
        description="Return the resolved configuration and an estimate without creating a job. "
        "Default: false.",
    )


class GenerationRequest(SampleSelection):
    """Generate any number of samples, as `/v1/models/{ref}/samples` does, into files."""

    kind: Literal["generation"]
    model: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="Model: `name` (its newest version), `name:version`, `name@alias` or `mdl_…`."
    )
    format: Literal["tar", "zip", "npz", "parquet", "csv", "ndjson", "arrow"] | None = Field(
        None,
        description="File format. Images: tar (WebDataset, the default), zip or npz. Tables: "
        "parquet (the default), csv, ndjson or arrow.",
    )
    shard_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Number of samples in each file. Default: chosen by the service."
    )
    output_uri: Annotated[str, Field(max_length=1_024)] | None = Field(
        None,
        description="Destination, such as `s3://bucket/folder`, that the operator allows. The "
        "files are copied to a subfolder named after the job's id; manifest.json is written last. "
        "Default: the files are only stored as artifacts of the job.",
    )
    priority: Priority = "normal"
    tags: Tags = {}
    webhook: JobWebhookOrUrl | None = Field(
        None, description="Webhook for this job, in addition to the tenant's webhooks."
    )
    validate_only: bool = Field(
        False,
        description="Return the resolved configuration and an estimate without creating a job. "
        "Default: false.",
    )


class EvaluationRequest(RequestModel):
    """Compare samples of a model with real items that training did not use."""

    kind: Literal["evaluation"]
    model: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="Model: `name` (its newest version), `name:version`, `name@alias` or `mdl_…`."
    )
    samples: Annotated[int, Field(ge=MIN_HOLDOUT_ITEMS, le=MAX_SAMPLES)] | Literal["auto"] = Field(
        "auto",
        description="Number of samples to evaluate. Default `auto`: the number of training items, "
        "at most 10,000 images or 24,000 rows.",
    )
    seed: Seed | None = Field(
        None, description="Random seed. Default: a random one, returned in `resolved`."
    )
    priority: Priority = "normal"
    tags: Tags = {}
    webhook: JobWebhookOrUrl | None = Field(
        None, description="Webhook for this job, in addition to the tenant's webhooks."
    )
    validate_only: bool = Field(
        False,
        description="Return the resolved configuration without creating a job. Default: false.",
    )


class EvaluationPlan(BaseModel):
    """The response to `validate_only`."""

    valid: Literal[True] = True
    resolved: dict[str, Any] = Field(description="The request with all defaults filled in.")
    warnings: list[WarningView] = Field(
        description="Warnings about the job, such as too little storage."
    )


class GenerationEstimate(BaseModel):
    items: int = Field(description="Number of samples.")
    shards: int = Field(description="Number of files.")
    bytes: int = Field(description="Total size of the files in bytes.")
    seconds: float = Field(
        description="Time in seconds for one worker. Several workers share the files."
    )
    basis: str = Field(description="Measurement from which bytes and seconds are extrapolated.")


class GenerationPlan(BaseModel):
    """The response to `validate_only`."""

    valid: Literal[True] = True
    resolved: dict[str, Any] = Field(description="The request with all defaults filled in.")
    estimate: GenerationEstimate
    warnings: list[WarningView] = Field(
        description="Warnings about the job, such as too little storage."
    )


class TrainingEstimate(BaseModel):
    steps: int = Field(description="Number of training steps.")
    minutes: float = Field(description="Training time in minutes.")
    memory_bytes: int = Field(description="Peak memory in bytes.")
    basis: str = Field(description="Measurement from which the time is extrapolated.")


class TrainingPlan(BaseModel):
    """The response to `validate_only`."""

    valid: Literal[True] = True
    resolved: dict[str, Any] = Field(description="The request with all defaults filled in.")
    estimate: TrainingEstimate
    warnings: list[WarningView] = Field(
        description="Warnings about the dataset and the configuration."
    )


class Progress(BaseModel):
    percent: float | None = Field(description="Progress in percent.")
    step: int = Field(description="Training steps, or samples, that are done.")
    steps: int | None = Field(description="Expected value of `step` at the end.")
    rate: float | None = Field(description="Steps per second.")
    eta_s: float | None = Field(description="Estimated remaining time in seconds.")
    updated_at: datetime | None = Field(description="Time of the worker's last heartbeat.")


QueueCode = Literal["waiting_for_worker", "jobs_ahead", "worker_lost"]


class QueueStatus(BaseModel):
    position: int | None = Field(
        description="Number of jobs ahead; null unless the job is queued, and in lists of jobs."
    )
    code: QueueCode | None = Field(
        description="Stable code of `reason`: `waiting_for_worker` (the job is next), `jobs_ahead` "
        "or `worker_lost` (it resumes after the loss of its worker); null where `position` is."
    )
    reason: str | None = Field(description="Why the job is waiting; null where `position` is.")

    @classmethod
    def of(cls, job: Job, position: int | None) -> "QueueStatus":
        if position is None:
            return cls(position=None, code=None, reason=None)
        if job.worker_losses:
            reason = "The worker was lost. The next one resumes from the last checkpoint."
            return cls(position=position, code="worker_lost", reason=reason)
        if position:
            reason = "1 job is ahead." if position == 1 else f"{position} jobs are ahead."
            return cls(position=position, code="jobs_ahead", reason=reason)
        return cls(position=0, code="waiting_for_worker", reason="Waiting for a free worker.")


class Timestamps(BaseModel):
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None = Field(description="Start of the latest attempt.")
    finished_at: datetime | None


class Usage(BaseModel):
    """Resource usage of a job, over all attempts."""

    cpu_s: float = Field(0.0, description="CPU time in seconds.")
    wall_s: float = Field(0.0, description="Elapsed time in seconds.")


JobShownState = Literal[
    "queued",
    "running",
    "pausing",
    "paused",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
]
Phase = Literal["preparing", "training", "generating", "evaluating", "finalizing"]


DETAIL_LINKS = {
    JobKind.TRAINING: ("metrics", "checkpoints", "previews"),
    JobKind.GENERATION: ("artifacts",),
    JobKind.EVALUATION: ("artifacts",),
    JobKind.AUGMENTATION: ("artifacts",),
}


class JobView(BaseModel):
    id: str = Field(description="Job id (`job_…`).")
    kind: JobKind
    state: JobShownState
    terminal: bool = Field(description="Whether the job has ended and its state is final.")
    phase: Phase | None = Field(description="Current phase of a running job.")
    name: str = Field(description="Name of the resulting model or dataset, or of the used model.")
    dataset: str | None = Field(description="Id of the dataset that the job reads.")
    model: str | None = Field(description="Id of the model that the job samples or evaluates.")
    progress: Progress
    queue: QueueStatus
    priority: str
    retry_of: str | None = Field(description="Id of the ended job that this one repeats.")
    attempt: int = Field(description="Number of times that a worker started the job.")
    max_worker_losses: int = Field(
        description="Number of workers that may be lost in a row, without a checkpoint in between, "
        "before the job fails."
    )
    resolved: dict[str, Any] = Field(description="The request with all defaults filled in.")
    result: dict[str, Any] | None = Field(description="Result of a succeeded job.")
    error: JobProblem | None = Field(description="Reason why the job failed.")
    timestamps: Timestamps
    usage: Usage
    tags: dict[str, str]
    links: dict[str, str] = Field(
        description="Paths of related resources and of the actions that the state allows."
    )

    @classmethod
    def of(cls, job: Job, position: int | None = None) -> "JobView":
        state, path = jobs.shown_state(job), f"/v1/jobs/{job.id}"
        links = {"self": path}
        links |= {part: f"{path}/{part}" for part in ("events", *DETAIL_LINKS[job.kind])}
        links |= {action: f"{path}/{action}" for action in jobs.ACTIONS[state]}
        if job.result and "model" in job.result:
            links["model"] = f"/v1/models/{job.result['model']}"
        if job.result and "dataset" in job.result:
            links["dataset"] = f"/v1/datasets/{job.result['dataset']}"
        return cls(
            id=job.id,
            kind=job.kind,
            state=state,
            terminal=job.state in jobs.TERMINAL,
            phase=job.phase if job.state.value == "running" else None,
            name=job.name,
            dataset=job.dataset_id,
            model=job.model_id,
            progress=_progress(job),
            queue=QueueStatus.of(job, position),
            priority=job.priority,
            retry_of=job.retry_of,
            attempt=job.fencing_token,
            max_worker_losses=job.max_worker_losses,
            resolved=job.resolved,
            result=job.result,
            error=job.error,
            timestamps=Timestamps.model_validate(job, from_attributes=True),
            usage=Usage.model_validate(job.usage),
            tags=job.tags,
            links=links,
        )


def _progress(job: Job) -> Progress:
    progress = job.progress
    return Progress(
        percent=100.0 if job.state.value == "succeeded" else progress.get("percent"),
        step=job.step,
        steps=progress.get("steps"),
        rate=progress.get("rate"),
        eta_s=progress.get("eta_s") if job.state.value == "running" else None,
        updated_at=job.heartbeat_at,
    )


class EventView(BaseModel):
    id: int = Field(description="Number of the event; grows within a job.")
    type: str = Field(description="Type of the event, such as `metrics` or `log`.")
    level: str = Field(description="Severity.")
    step: int | None = Field(description="Training step.")
    data: dict[str, Any] = Field(description="Content, which depends on the type.")
    created_at: datetime

    @classmethod
    def of(cls, event: Event) -> "EventView":
        return cls(
            id=event.id,
            type=event.type,
            level=event.level,
            step=event.step,
            data=event.data,
            created_at=event.created_at,
        )


class EventPage(BaseModel):
    data: list[EventView] = Field(description="Events of this page, oldest first.")
    next: int | None = Field(
        description="Cursor of the next page, to be sent as `after`; null for an empty page."
    )
    has_more: bool = Field(description="Whether there are further events now.")


class Series(BaseModel):
    """A metric over time: `values[i]` at training step `steps[i]`."""

    steps: list[int] = Field(description="Training steps.")
    values: list[float] = Field(description="Value at each step.")


class CheckpointView(BaseModel):
    step: int = Field(description="Training step.")
    bytes: int = Field(description="Total size of the files in bytes.")
    metrics: dict[str, float] = Field(description="Metrics at this step.")
    created_at: datetime

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "CheckpointView":
        return cls(
            step=checkpoint.step,
            bytes=sum(file["bytes"] for file in checkpoint.files.values()),
            metrics=checkpoint.metrics,
            created_at=checkpoint.created_at,
        )


class PreviewView(BaseModel):
    step: int = Field(description="Training step.")
    url: str = Field(description="Path of the image.")
    created_at: datetime

    @classmethod
    def of(cls, artifact: Artifact) -> "PreviewView":
        step = artifact.step or 0
        return cls(
            step=step,
            url=f"/v1/jobs/{artifact.job_id}/previews/{step}.png",
            created_at=artifact.created_at,
        )


class ArtifactView(BaseModel):
    name: str = Field(description="Name of the file; may contain slashes.")
    step: int | None = Field(description="Training step.")
    media_type: str
    bytes: int = Field(description="Size in bytes.")
    sha256: str = Field(description="SHA-256 of the file in hexadecimal.")
    url: str = Field(description="Path of the file.")
    created_at: datetime

    @classmethod
    def of(cls, artifact: Artifact) -> "ArtifactView":
        return cls(
            name=artifact.name,
            step=artifact.step,
            media_type=artifact.media_type,
            bytes=artifact.bytes,
            sha256=artifact.sha256,
            url=f"/v1/jobs/{artifact.job_id}/artifacts/{artifact.name}",
            created_at=artifact.created_at,
        )
