"""State transitions of jobs, and the actions that each state allows.

`pausing` and `cancelling` are not stored. The API shows them for a running job with the flag, whose
worker may still save. Both may therefore be followed by `succeeded`.
"""

from collections.abc import Mapping

from sqlalchemy import text

from core.errors import ActionNotAllowed
from core.tables import LIVE, Job, JobState

S = JobState

TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    S.QUEUED: frozenset({S.RUNNING, S.PAUSED, S.CANCELLED, S.FAILED}),
    # Queued again if the worker was lost or drained: the next one resumes from the checkpoint.
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.PAUSED, S.QUEUED}),
    S.PAUSED: frozenset({S.QUEUED, S.CANCELLED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
# Selects queued and running jobs. Every statement that looks for one of these states needs it too:
# only with this condition does a database use the index of live jobs, instead of the old ones'.
IS_LIVE = text(LIVE)

# Allowed actions by shown state. `retry` creates a new job.
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
    """Return the state that the API shows."""
    if job.state is S.RUNNING and job.cancel_requested:
        return "cancelling"
    if job.state is S.RUNNING and job.pause_requested:
        return "pausing"
    return job.state.value


def check_action(job: Job, action: str) -> None:
    """Raise ActionNotAllowed, which lists the allowed actions, unless `action` is one of them."""
    state = shown_state(job)
    if action not in ACTIONS[state]:
        allowed = ", ".join(ACTIONS[state]) or "none"
        raise ActionNotAllowed(
            f"The action `{action}` is not allowed for a job in state `{state}`. "
            f"Allowed actions: {allowed}.",
            state=state,
            allowed=list(ACTIONS[state]),
        )
