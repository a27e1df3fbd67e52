"""Jobs, as they cross HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.request_body import RequestModel
from app.schemas.hyperparameters import Hyperparameters
from app.schemas.samples import SampleSelection
from app.schemas.types import ModelName, Seed, Tags
from app.schemas.webhooks import JobWebhookOrUrl
from core import jobs
from core.evaluation import MAX_SAMPLES, MIN_HOLDOUT_ITEMS
from core.tables import Artifact, Checkpoint, Event, Job, JobKind
from core.training import Budget, CheckpointPolicy, DifferentialPrivacy, QualityGate
from models.images.settings import PRESETS

Preset = Literal["fast", "balanced", "quality"]
assert set(PRESETS) == set(Preset.__args__)  # type: ignore[attr-defined]  # noqa: S101 - in step


Priority = Annotated[
    Literal["low", "normal", "high"],
    Field(description="moves a job's place by an hour; who has waited longer goes first"),
]


class JobProblem(BaseModel):
    """Why a job failed: as an HTTP problem, without a status."""

    type: str
    title: str
    detail: str
    code: str
    retryable: bool


class TrainingRequest(RequestModel):
    """One dial, `preset`, sets everything; any other value is explicit or `"auto"`."""

    kind: Literal["training"]
    dataset: str
    name: ModelName | None = Field(None, description="the model's; default: the dataset's name")
    target_column: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        "auto",
        description="what samples can be asked for by: `class` of images, or a column of a table; "
        "auto: the class, or the table's target; null trains without labels",
    )
    preset: Preset = "balanced"
    hyperparameters: Hyperparameters = Field(
        {}, description="settings of the kind of data; auto: by the preset"
    )
    budget: Budget | None = Field(None, description="default: by preset")
    checkpoint: CheckpointPolicy = CheckpointPolicy()
    holdout_fraction: Annotated[float, Field(ge=0, le=0.5)] | Literal["auto"] = Field(
        "auto", description="share of the items kept for measuring, never trained on"
    )
    early_stopping: Literal["auto", "never"] | Annotated[int, Field(ge=1, le=10)] = Field(
        "auto",
        description="images: looks at the coverage of held-out images without a gain, of ten in a "
        "run, until it is brought to its end; never: not even a hopeless run is ended",
    )
    init_from: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None,
        description="images: a model whose networks the run begins with (`name`, `name:3`, "
        "`mdl_…`); labels that it does not know are added",
    )
    differential_privacy: DifferentialPrivacy | None = Field(
        None,
        description="tables: learn with differential privacy; what epsilon does not cover is "
        "refused by name",
    )
    seed: Seed | None = Field(None, description="default: a random one, told in the answer")
    evaluate: bool | None = Field(
        None,
        description="measure the model afterwards, by an evaluation job of its own; default: true, "
        "unless the operator has said otherwise; never with `differential_privacy`",
    )
    quality_gate: QualityGate | None = Field(
        None,
        description="what an evaluation has to find; of a model that it does not, or not yet, "
        "samples need `ignore_quality_gate`. Implies `evaluate`",
    )
    priority: Priority = "normal"
    tags: Tags = {}
    webhook: JobWebhookOrUrl | None = Field(
        None, description="a URL that is told of this job, whatever `/v1/webhooks` holds"
    )
    validate_only: bool = Field(
        False, description="answer with the resolved configuration and an estimate; start nothing"
    )


class GenerationRequest(SampleSelection):
    """Items as `/v1/models/{ref}/samples` gives them, any number, into files of `shard_size`."""

    kind: Literal["generation"]
    model: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="`name` (its newest version), `name:version` or `mdl_…`"
    )
    format: Literal["tar", "zip", "npz", "parquet", "csv", "ndjson", "arrow"] | None = Field(
        None,
        description="of images tar (WebDataset, the default), zip or npz; of rows parquet (the "
        "default), csv, ndjson or arrow",
    )
    shard_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="items in one file"
    )
    output_uri: Annotated[str, Field(max_length=1_024)] | None = Field(
        None,
        description="`s3://bucket/folder` or another place that the operator allows: the files are "
        "copied to a folder there with the job's id as its name, manifest.json last",
    )
    priority: Priority = "normal"
    tags: Tags = {}
    webhook: JobWebhookOrUrl | None = Field(
        None, description="a URL that is told of this job, whatever `/v1/webhooks` holds"
    )
    validate_only: bool = Field(
        False, description="answer with the resolved configuration and an estimate; start nothing"
    )


class EvaluationRequest(RequestModel):
    """Samples of a model are measured against the real items that its training has not seen."""

    kind: Literal["evaluation"]
    model: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="`name` (its newest version), `name:version` or `mdl_…`"
    )
    samples: Annotated[int, Field(ge=MIN_HOLDOUT_ITEMS, le=MAX_SAMPLES)] | Literal["auto"] = Field(
        "auto", description="auto: as many as were learned from, at most 10,000 images, 24,000 rows"
    )
    seed: Seed | None = Field(None, description="default: a random one, told in the answer")
    priority: Priority = "normal"
    tags: Tags = {}
    webhook: JobWebhookOrUrl | None = Field(
        None, description="a URL that is told of this job, whatever `/v1/webhooks` holds"
    )
    validate_only: bool = Field(
        False, description="answer with the resolved configuration; start nothing"
    )


class EvaluationPlan(BaseModel):
    """The answer to `validate_only`."""

    valid: Literal[True] = True
    resolved: dict[str, Any]
    warnings: list[str]


class GenerationEstimate(BaseModel):
    items: int
    shards: int
    bytes: int
    seconds: float = Field(description="of one worker; several share the shards")
    basis: str = Field(description="where bytes and seconds come from")


class GenerationPlan(BaseModel):
    """The answer to `validate_only`."""

    valid: Literal[True] = True
    resolved: dict[str, Any]
    estimate: GenerationEstimate
    warnings: list[str]


class TrainingEstimate(BaseModel):
    steps: int
    minutes: float
    memory_bytes: int
    basis: str = Field(description="where the estimate of the time comes from")


class TrainingPlan(BaseModel):
    """The answer to `validate_only`."""

    valid: Literal[True] = True
    resolved: dict[str, Any]
    estimate: TrainingEstimate
    warnings: list[str]


class Progress(BaseModel):
    percent: float | None
    step: int
    steps: int | None = Field(description="expected in all")
    rate: float | None = Field(description="steps per second")
    eta_s: float | None
    updated_at: datetime | None


class QueueStatus(BaseModel):
    position: int | None = Field(description="jobs that go first; null unless queued")
    reason: str | None = Field(description="why the job waits")


class Timestamps(BaseModel):
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None = Field(description="of the latest attempt")
    finished_at: datetime | None


class Usage(BaseModel):
    """Over all attempts."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


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
    id: str
    kind: JobKind
    state: JobShownState
    terminal: bool
    phase: Phase | None = Field(description="of a running job")
    name: str
    dataset: str | None
    model: str | None = Field(description="that items are drawn from, or that is measured")
    progress: Progress
    queue: QueueStatus
    priority: str
    retry_of: str | None = Field(description="the ended job that this one repeats")
    attempt: int = Field(description="times that a worker took the job")
    max_worker_losses: int = Field(description="workers lost in a row, with nothing saved between")
    resolved: dict[str, Any]
    result: dict[str, Any] | None
    error: JobProblem | None
    timestamps: Timestamps
    usage: Usage
    tags: dict[str, str]
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job, position: int | None = None) -> "JobView":
        state, path = jobs.shown_state(job), f"/v1/jobs/{job.id}"
        links = {"self": path}
        links |= {part: f"{path}/{part}" for part in ("events", *DETAIL_LINKS[job.kind])}
        links |= {verb: f"{path}/{verb}" for verb in jobs.ACTIONS[state]}
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
            queue=QueueStatus(position=position, reason=_reason(job, position)),
            priority=job.priority,
            retry_of=job.retry_of,
            attempt=job.attempt,
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
    known = job.progress
    return Progress(
        percent=100.0 if job.state.value == "succeeded" else known.get("percent"),
        step=job.step,
        steps=known.get("steps"),
        rate=known.get("rate"),
        eta_s=known.get("eta_s") if job.state.value == "running" else None,
        updated_at=job.heartbeat_at,
    )


def _reason(job: Job, position: int | None) -> str | None:
    if position is None:
        return None
    if job.worker_losses:
        return "its worker was lost; the next one goes on from the last checkpoint"
    return f"{position} jobs go first" if position else "waiting for a free worker"


class EventView(BaseModel):
    id: int
    type: str
    level: str
    step: int | None
    data: dict[str, Any]
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
    data: list[EventView]
    next: int | None = Field(description="send it as `after` to go on")
    has_more: bool


class Series(BaseModel):
    """One line of a chart: `values[i]` at `steps[i]`."""

    steps: list[int]
    values: list[float]


class CheckpointView(BaseModel):
    step: int
    bytes: int
    metrics: dict[str, float]
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
    step: int
    url: str
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
    name: str
    step: int | None
    media_type: str
    bytes: int
    sha256: str
    url: str
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
