"""Response bodies of events. The type of an event decides what its `data` holds."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypeAliasType

from core.tables import Event

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


class _Event(BaseModel):
    id: int = Field(description="Number of the event; grows within a job.")
    job: str = Field(description="Id of the job (`job_…`).")
    level: Literal["info", "warning", "error"] = Field(description="Severity.")
    step: int | None = Field(description="Training step; null where it does not apply.")
    created_at: datetime = Field(description="Time of the event.")


class StateData(BaseModel):
    state: JobShownState = Field(description="New state of the job.")
    attempt: int | None = Field(None, description="With `running`: number of the attempt.")
    reason: str | None = Field(
        None, description="Why the job went back to the queue: `drained`, `interrupted` or another."
    )


class StateEvent(_Event):
    """The state of the job changed."""

    type: Literal["state"] = Field(description="Type of the event.")
    data: StateData = Field(description="The change.")


class PhaseData(BaseModel):
    phase: Phase = Field(description="Phase that began.")


class PhaseEvent(_Event):
    """The running job entered another phase."""

    type: Literal["phase"] = Field(description="Type of the event.")
    data: PhaseData = Field(description="The phase.")


class MetricsEvent(_Event):
    """Metrics of a training step."""

    type: Literal["metrics"] = Field(description="Type of the event.")
    data: dict[str, float] = Field(description="Values by name, as in `/metrics`.")


class LogData(BaseModel):
    message: str = Field(description="Line of the job's log.")


class LogEvent(_Event):
    """A line of the log."""

    type: Literal["log"] = Field(description="Type of the event.")
    data: LogData = Field(description="The line.")


class CheckpointData(BaseModel):
    step: int = Field(description="Training step of the checkpoint.")


class CheckpointEvent(_Event):
    """A checkpoint was stored."""

    type: Literal["checkpoint"] = Field(description="Type of the event.")
    data: CheckpointData = Field(description="The checkpoint.")


class PreviewData(BaseModel):
    name: str = Field(description="Name of the artifact.")
    url: str = Field(description="Path of the image.")


class PreviewEvent(_Event):
    """A preview image was stored."""

    type: Literal["preview"] = Field(description="Type of the event.")
    data: PreviewData = Field(description="The image.")


class ShardData(BaseModel):
    name: str = Field(description="Name of the artifact.")
    items: int = Field(description="Number of samples in it.")


class ShardEvent(_Event):
    """A file of a generation job is complete."""

    type: Literal["shard"] = Field(description="Type of the event.")
    data: ShardData = Field(description="The file.")


# An alias with a name, so that the union is one schema.
EventView = TypeAliasType(
    "EventView",
    Annotated[
        StateEvent
        | PhaseEvent
        | MetricsEvent
        | LogEvent
        | CheckpointEvent
        | PreviewEvent
        | ShardEvent,
        Field(discriminator="type"),
    ],
)
_views: TypeAdapter[Any] = TypeAdapter(EventView)
EventType = Literal["state", "phase", "metrics", "log", "checkpoint", "preview", "shard"]


def event_view(event: Event) -> Any:
    """Return the view of an event, a model of the union `EventView`."""
    data = dict(event.data)
    if event.type == "preview":
        data["url"] = f"/v1/jobs/{event.job_id}/{event.data['name']}"
    return _views.validate_python(
        {
            "id": event.id,
            "job": event.job_id,
            "type": event.type,
            "level": event.level,
            "step": event.step,
            "data": data,
            "created_at": event.created_at,
        }
    )


class EventPage(BaseModel):
    data: list[EventView] = Field(description="Events of this page, oldest first.")
    next: int | None = Field(
        description="Cursor of the next page, to be sent as `after`; null for an empty page."
    )
    has_more: bool = Field(description="Whether there are further events now.")

    @classmethod
    def of(cls, rows: list[Event], limit: int) -> "EventPage":
        """Build a page of at most `limit` of the rows, of which there may be one more."""
        shown = rows[:limit]
        return cls(
            data=[event_view(event) for event in shown],
            next=shown[-1].id if shown else None,
            has_more=len(rows) > limit,
        )


class ProgressView(BaseModel):
    """Data of `progress` in a stream: the newest state of a running job. It is not stored."""

    job: str = Field(description="Id of the job (`job_…`).")
    state: JobShownState = Field(description="State of the job.")
    phase: Phase | None = Field(description="Phase of the running job.")
    percent: float | None = Field(description="Progress in percent.")
    step: int = Field(description="Training steps, or samples, that are done.")
    steps: int | None = Field(description="Expected value of `step` at the end.")
    rate: float | None = Field(description="Steps per second.")
    eta_s: float | None = Field(description="Estimated remaining time in seconds.")


class StreamEnd(BaseModel):
    """Data of `end`, the last message of the stream of one job."""

    job: str = Field(description="Id of the job (`job_…`).")
