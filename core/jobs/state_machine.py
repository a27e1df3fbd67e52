"""Which state may follow which, and what a client may ask for in each.

`pausing` and `cancelling` are not stored: they are shown for a running job that carries the flag,
so that its worker may still save. Both may therefore end in `succeeded`.
"""

from collections.abc import Mapping

from core.errors import ActionNotAllowed
from core.tables import Job, JobState

S = JobState

TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    S.QUEUED: frozenset({S.RUNNING, S.PAUSED, S.CANCELLED, S.FAILED}),
    # Back to queued: the worker was lost or drained; the next one goes on from the checkpoint.
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.PAUSED, S.QUEUED}),
    S.PAUSED: frozenset({S.QUEUED, S.CANCELLED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)

# What may be asked, by the state that is shown. `retry` makes a new job.
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "queued": ("cancel", "pause"),
    "running": ("cancel", "pause"),
    "pausing": ("cancel",),
    "paused": ("cancel", "resume"),
    "cancelling": (),
    "succeeded": ("retry",),
    "failed": ("retry",),
    "cancelled": ("retry",),
}


def shown_state(job: Job) -> str:
    if job.state is S.RUNNING and job.cancel_requested:
        return "cancelling"
    if job.state is S.RUNNING and job.pause_requested:
        return "pausing"
    return job.state.value


def check_action(job: Job, action: str) -> None:
    """Raises ActionNotAllowed, which lists what is allowed instead."""
    state = shown_state(job)
    if action not in ACTIONS[state]:
        allowed = ", ".join(ACTIONS[state]) or "none"
        raise ActionNotAllowed(
            f"a job that is {state} cannot be asked to {action}; allowed: {allowed}",
            state=state,
            allowed=list(ACTIONS[state]),
        )
