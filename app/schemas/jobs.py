"""Request and response bodies of jobs."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

import job_kinds
from core import jobs
from core.tables import Artifact, Checkpoint, Event, Job, JobKind
from job_kinds.request import WarningView


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
    warnings: list[WarningView] = Field(description="Warnings that `validate_only` also returns.")
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
            phase=job.phase if job.state.value == "running" else None,
            name=job.name,
            dataset=job.dataset_id,
            model=job.model_id,
            progress=Progress(
                percent=100.0 if job.state.value == "succeeded" else job.progress.get("percent"),
                step=job.step,
                steps=job.progress.get("steps"),
                rate=job.progress.get("rate"),
                eta_s=job.progress.get("eta_s") if job.state.value == "running" else None,
                updated_at=job.heartbeat_at,
            ),
            queue=QueueStatus.of(job, position),
            priority=job.priority,
            retry_of=job.retry_of,
            attempt=job.fencing_token,
            max_worker_losses=job.max_worker_losses,
            resolved=job.resolved,
            warnings=job.warnings,
            result=job.result,
            error=job.error,
            timestamps=Timestamps.model_validate(job, from_attributes=True),
            usage=Usage.model_validate(job.usage),
            tags=job.tags,
            links=links,
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
