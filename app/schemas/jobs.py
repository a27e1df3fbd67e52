"""Request and response bodies of jobs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel, WithJsonSchema

import job_kinds
from app.schemas.events import JobShownState, Phase
from core import jobs
from core.devices import DeviceKind, RequestedDevice
from core.request_fields import RequestModel
from core.tables import Artifact, Checkpoint, Job, JobKind, JobState
from job_kinds.request import Priority, WarningView
from job_kinds.results import (
    AugmentationResult,
    EvaluationResult,
    GenerationResult,
    TrainingResult,
)


class JobProblem(BaseModel):
    """Reason why a job failed: a problem document (RFC 9457) without an HTTP status."""

    type: str = Field(description="URN of the problem type: `urn:semblance:problem:{code}`.")
    title: str = Field(description="Short name of the problem type.")
    detail: str = Field(description="Explanation for people.")
    code: str = Field(description="Stable code of the problem, for use in programs.")
    retryable: bool = Field(description="Whether the same job may succeed later.")


class Progress(BaseModel):
    percent: float | None = Field(description="Progress in percent.")
    step: int = Field(description="Training steps, or samples, that are done.")
    steps: int | None = Field(description="Expected value of `step` at the end.")
    rate: float | None = Field(description="Steps per second.")
    eta_s: float | None = Field(description="Estimated remaining time in seconds.")
    updated_at: datetime | None = Field(description="Time of the worker's last heartbeat.")

    @classmethod
    def of(cls, job: Job) -> "Progress":
        reported = job.progress
        return cls(
            percent=100.0 if job.state is JobState.SUCCEEDED else reported.get("percent"),
            step=job.step,
            steps=reported.get("steps"),
            rate=reported.get("rate"),
            eta_s=reported.get("eta_s") if job.state is JobState.RUNNING else None,
            updated_at=job.heartbeat_at,
        )


QueueCode = Literal[
    "waiting_for_worker", "jobs_ahead", "worker_lost", "no_gpu_worker", "no_cpu_worker"
]


class QueueStatus(BaseModel):
    position: int | None = Field(description="Number of jobs ahead; null unless the job is queued.")
    code: QueueCode | None = Field(
        description="Stable code of `reason`: `waiting_for_worker` (the job is next), "
        "`jobs_ahead`, `worker_lost` (it resumes after the loss of its worker), `no_gpu_worker` or "
        "`no_cpu_worker` (no active worker has the device that it needs); null where `position` is."
    )
    reason: str | None = Field(description="Why the job is waiting; null where `position` is.")

    @classmethod
    def of(cls, job: Job, position: jobs.QueuePosition | None) -> "QueueStatus":
        if position is None:
            return cls(position=None, code=None, reason=None)
        if job.device_kind is not None and not position.has_worker:
            kind = job.device_kind.value
            code: QueueCode = "no_gpu_worker" if kind == "gpu" else "no_cpu_worker"
            reason = f"No active worker has a working {kind.upper()}. The job waits for one."
            return cls(position=position.ahead, code=code, reason=reason)
        if job.worker_losses:
            reason = "The worker was lost. The next one resumes from the last checkpoint."
            return cls(position=position.ahead, code="worker_lost", reason=reason)
        if position.ahead:
            ahead = position.ahead
            reason = "1 job is ahead." if ahead == 1 else f"{ahead} jobs are ahead."
            return cls(position=position.ahead, code="jobs_ahead", reason=reason)
        return cls(position=0, code="waiting_for_worker", reason="Waiting for a free worker.")


class Timestamps(BaseModel):
    created_at: datetime = Field(description="Time of creation.")
    queued_at: datetime = Field(description="Time at which the job entered the queue last.")
    started_at: datetime | None = Field(description="Start of the latest attempt.")
    finished_at: datetime | None = Field(description="Time at which the job ended.")


class Usage(BaseModel):
    """Resource usage of a job, over all attempts."""

    cpu_s: float = Field(0.0, description="CPU time in seconds.")
    wall_s: float = Field(0.0, description="Elapsed time in seconds.")
    gpu_s: float = Field(0.0, description="Time for which the job held a GPU, in seconds.")


Result = TrainingResult | GenerationResult | EvaluationResult | AugmentationResult
Resolved = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "anyOf": [
                spec.model_json_schema() for kind in job_kinds.KINDS.values() for spec in kind.specs
            ]
        }
    ),
]


class JobsToCancel(RequestModel):
    """Jobs to cancel: those that pass all filters."""

    states: Annotated[
        list[Literal["queued", "paused", "running"]], Field(min_length=1, max_length=3)
    ] = Field(
        ["queued", "paused"],
        description="Only jobs in these states. Default: `queued` and `paused`.",
    )
    kinds: Annotated[
        list[Literal["training", "generation", "evaluation", "augmentation"]],
        Field(min_length=1, max_length=4),
    ] = Field(
        ["training", "generation", "evaluation", "augmentation"],
        description="Only jobs of these kinds. Default: all that the key may cancel.",
    )
    dataset: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="Only jobs that read this dataset (id). Default: all."
    )
    model: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="Only jobs that sample or evaluate this model (id). Default: all."
    )


class CancelledJobs(BaseModel):
    jobs: list[str] = Field(description="Ids of the jobs, the oldest first.")
    has_more: bool = Field(description="Whether other jobs remain. Send the request again then.")


class JobView(BaseModel):
    id: str = Field(description="Job id (`job_…`).")
    kind: JobKind = Field(description="Kind of the job, which decides what `result` holds.")
    state: JobShownState = Field(description="State of the job.")
    terminal: bool = Field(description="Whether the job has ended and its state is final.")
    phase: Phase | None = Field(description="Current phase of a running job.")
    name: str = Field(description="Name of the resulting model or dataset, or of the used model.")
    dataset: str | None = Field(description="Id of the dataset that the job reads.")
    model: str | None = Field(description="Id of the model that the job samples or evaluates.")
    progress: Progress = Field(description="Progress of a job that has started.")
    queue: QueueStatus = Field(description="Place in the queue.")
    priority: Priority = Field(description="Priority in the queue.")
    device: RequestedDevice = Field(description="Device that the request asks for.")
    device_kind: DeviceKind | None = Field(
        description="Kind of device that the job runs on; null while it may be either."
    )
    retry_of: str | None = Field(description="Id of the ended job that this one repeats.")
    attempt: int = Field(description="Number of times that a worker started the job.")
    max_worker_losses: int = Field(
        description="Number of workers that may be lost in a row, without a checkpoint in between, "
        "before the job fails."
    )
    resolved: Resolved = Field(description="The request with all defaults filled in.")
    warnings: list[WarningView] = Field(
        description="Warnings that `validate_only` also returns, and those of a started training."
    )
    result: Result | None = Field(description="Result of a succeeded job.")
    error: JobProblem | None = Field(description="Reason why the job failed.")
    timestamps: Timestamps = Field(description="Times of the last change of each kind.")
    usage: Usage = Field(description="Resources that the job has used.")
    tags: dict[str, str] = Field(description="Keys and values that the client chose.")
    links: dict[str, str] = Field(
        description="Paths of related resources and of the actions that the state allows."
    )

    @classmethod
    def of(cls, job: Job, position: jobs.QueuePosition | None = None) -> "JobView":
        state, path = jobs.shown_state(job), f"/v1/jobs/{job.id}"
        links = {"self": path}
        links |= {part: f"{path}/{part}" for part in ("events", *job_kinds.KINDS[job.kind].links)}
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
            phase=job.phase if job.state is JobState.RUNNING else None,
            name=job.name,
            dataset=job.dataset_id,
            model=job.model_id,
            progress=Progress.of(job),
            queue=QueueStatus.of(job, position),
            priority=job.priority,
            device=job.device,
            device_kind=job.device_kind,
            retry_of=job.retry_of,
            attempt=job.fencing_token,
            max_worker_losses=job.max_worker_losses,
            resolved=job.resolved,
            warnings=job.warnings,
            result=None
            if job.result is None
            else job_kinds.KINDS[job.kind].result_view.model_validate(job.result),
            error=job.error,
            timestamps=Timestamps.model_validate(job, from_attributes=True),
            usage=Usage.model_validate(job.usage),
            tags=job.tags,
            links=links,
        )


class Series(BaseModel):
    """A metric over time: `values[i]` at training step `steps[i]`."""

    steps: list[int] = Field(description="Training steps.")
    values: list[float] = Field(description="Value at each step.")


class JobsMetrics(BaseModel):
    jobs: dict[str, dict[str, Series]] = Field(
        description="Metrics by the id of the job and by name."
    )


class CheckpointView(BaseModel):
    step: int = Field(description="Training step.")
    bytes: int = Field(description="Total size of the files in bytes.")
    metrics: dict[str, float] = Field(description="Metrics at this step.")
    score: float | None = Field(
        description="Quality of its samples on held-out items; higher is better. Null if it was "
        "not measured."
    )
    is_best: bool = Field(description="Whether it has the highest score of the job.")
    model: str | None = Field(description="Id of the model that was created from it.")
    created_at: datetime = Field(description="Time of creation.")

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, best_score: float | None, model_id: str | None
    ) -> "CheckpointView":
        return cls(
            step=checkpoint.step,
            bytes=sum(file["bytes"] for file in checkpoint.files.values()),
            metrics=checkpoint.metrics,
            score=checkpoint.score,
            is_best=checkpoint.score is not None and checkpoint.score == best_score,
            model=model_id,
            created_at=checkpoint.created_at,
        )


class PreviewView(BaseModel):
    step: int = Field(description="Training step.")
    url: str = Field(description="Path of the image.")
    created_at: datetime = Field(description="Time of creation.")

    @classmethod
    def of(cls, artifact: Artifact) -> "PreviewView":
        step = artifact.step or 0
        return cls(
            step=step,
            url=f"/v1/jobs/{artifact.job_id}/previews/{step}.png",
            created_at=artifact.created_at,
        )


class JsonFile(RootModel[dict[str, Any]]):
    """A file of a job in JSON, such as the manifest of a generation job."""


class ArtifactView(BaseModel):
    name: str = Field(description="Name of the file; may contain slashes.")
    step: int | None = Field(description="Training step.")
    media_type: str = Field(description="Media type of the file.")
    bytes: int = Field(description="Size in bytes.")
    sha256: str = Field(description="SHA-256 of the file in hexadecimal.")
    url: str = Field(description="Path of the file.")
    created_at: datetime = Field(description="Time of creation.")

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
