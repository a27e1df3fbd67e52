"""Faults to inject into the store, each of a kind that a careless change could introduce.

Most faults replace a fragment of the SQL that the store sends, which leaves its code unchanged; the
others replace one function.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from core import jobs
from core.jobs import Claim, Notification, leasing, sweeper
from core.jobs.state_machine import ACTIONS
from core.leases import LeaseLost
from core.tables import JobState, Json, Model


@dataclass
class Fault:
    """A fault to inject; `hits` counts how often it takes effect. Without hits it tests nothing."""

    name: str
    install: Callable[["Fault", ExitStack, Engine], None]
    hits: int = 0

    @contextmanager
    def inject(self, engine: Engine) -> Iterator[None]:
        self.hits = 0
        with ExitStack() as stack:
            self.install(self, stack, engine)
            yield


Change = tuple[str, str, str]  # a part of the statements to change, a fragment, its replacement


def replace_sql(
    name: str, statement: str, fragment: str, replacement: str, *further: Change
) -> Fault:
    r"""Create a fault that replaces a fragment of the statements that contain `statement`.

    The number of parameters must not change; `\g<0>` is the fragment itself.
    """
    changes = ((statement, fragment, replacement), *further)

    def install(fault: Fault, stack: ExitStack, engine: Engine) -> None:
        def change(
            _connection: Any, _cursor: Any, text: str, parameters: Any, _context: Any, _many: bool
        ) -> tuple[str, Any]:
            for part, old, new in changes:
                if part in text:
                    text, hits = re.subn(re.escape(old), new, text)
                    fault.hits += hits
            return text, parameters

        event.listen(engine, "before_cursor_execute", change, retval=True)
        stack.callback(event.remove, engine, "before_cursor_execute", change)

    return Fault(name, install)


def replace_function(
    name: str, module: Any, attribute: str, replacement: Callable[..., Any]
) -> Fault:
    """Create a fault that calls `replacement`, with the original as its first argument."""

    def install(fault: Fault, stack: ExitStack, _engine: Engine) -> None:
        original = getattr(module, attribute)

        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            fault.hits += 1
            return replacement(original, *arguments, **keywords)

        for owner in {module, jobs}:
            if getattr(owner, attribute, None) is original:
                stack.enter_context(patch.object(owner, attribute, wrapper))

    return Fault(name, install)


def allow_actions(name: str, **allowed: tuple[str, ...]) -> Fault:
    def install(fault: Fault, stack: ExitStack, _engine: Engine) -> None:
        fault.hits += 1
        stack.enter_context(patch.dict(ACTIONS, allowed))

    return Fault(name, install)


def finish_with_two_models(
    original: Callable[..., None], session: Session, claim: Claim, *, result: Json, model: Model
) -> None:
    session.add(model)
    session.flush()
    result = {**result, "model": model.id, "model_version": f"{model.name}:{model.version}"}
    leasing._end(session, claim, JobState.SUCCEEDED, result=result)
    session.add(
        Model(
            **{
                column: getattr(model, column)
                for column in ("tenant_id", "name", "modality", "job_id", "weights", "manifest")
            },
            id=f"{model.id}2",
            step=model.step + 1,
            version=model.version + 1,
        )
    )


def only_send_notifications(
    _original: Callable[..., list[Notification]], session: Session
) -> list[Notification]:
    with patch.object(sweeper, "requeue_lost"):
        return list(_original(session))


def ignore_lost_lease(original: Callable[..., Any], session: Session, claim: Claim) -> None:
    try:
        original(session, claim)
    except LeaseLost:
        return


def skip_event(_original: Callable[..., Any], *_: Any, **__: Any) -> None:
    """Record neither an event nor a webhook message."""


def release_despite_requests(_original: Callable[..., Any], session: Session, claim: Claim) -> None:
    leasing._leave(session, claim, JobState.QUEUED, reason="drained", notified_at=None)


def pause_despite_requests(_original: Callable[..., Any], session: Session, claim: Claim) -> None:
    leasing._leave(session, claim, JobState.PAUSED, pause_requested=False)


UPDATE = "UPDATE jobs"
FAULTS = [
    replace_sql(
        "the fencing token is not checked",
        UPDATE,
        "jobs.fencing_token = ?",
        "(jobs.fencing_token = ? OR 1)",
    ),
    replace_sql(
        "a write under an expired lease is accepted",
        UPDATE,
        "jobs.lease_until >= semblance_clock(?)",
        "(\\g<0> OR 1)",
    ),
    replace_sql(
        "a job with a valid lease is claimed",
        "fencing_token=(jobs.fencing_token + ?)",
        "jobs.state = ? AND jobs.cancel_requested",
        "(jobs.state = ? OR jobs.state = 'running') AND jobs.cancel_requested",
        # Workers look for due jobs first.
        ("ORDER BY jobs.priority_at", "jobs.lease_until < semblance_clock(?)", "(\\g<0> OR 1)"),
    ),
    replace_sql(
        "a job is claimed before available_at",
        "fencing_token=(jobs.fencing_token + ?)",
        "jobs.available_at <= semblance_clock(?)",
        "(\\g<0> OR 1)",
    ),
    replace_sql(
        "the fencing token does not grow",
        UPDATE,
        "fencing_token=(jobs.fencing_token + ?)",
        "fencing_token=(jobs.fencing_token + 0 * ?)",
    ),
    replace_sql(
        "a worker with a valid lease is lost",
        "jobs",
        "jobs.lease_until < semblance_clock(?)",
        "(\\g<0> OR 1)",
    ),
    replace_sql(
        "hung steps are not detected",
        "jobs",
        "jobs.step_deadline_at < semblance_clock(?)",
        "(\\g<0> AND 0)",
    ),
    replace_sql(
        "a heartbeat does not renew the lease",
        "step_deadline_at=CASE",
        "lease_until=semblance_clock(?)",
        "lease_until=coalesce(jobs.lease_until, semblance_clock(?))",
    ),
    replace_sql(
        "worker losses are not counted", UPDATE, "worker_losses=?, ", "worker_losses=0 * ?, "
    ),
    replace_sql(
        "the oldest checkpoint is kept instead of the newest",
        "FROM checkpoints",
        "ORDER BY checkpoints.step DESC, checkpoints.fencing_token DESC",
        "ORDER BY checkpoints.step, checkpoints.fencing_token",
    ),
    replace_function(
        "the sweeper only sends notifications", sweeper, "sweep", only_send_notifications
    ),
    replace_function("a job creates two models", leasing, "finish", finish_with_two_models),
    replace_function("a state change is not recorded", leasing, "record_state", skip_event),
    replace_function("a lost lease is ignored", leasing, "release", ignore_lost_lease),
    replace_function(
        "a released job ignores its cancellation",
        leasing,
        "release",
        release_despite_requests,
    ),
    replace_function(
        "a paused job ignores its cancellation",
        leasing,
        "confirm_paused",
        pause_despite_requests,
    ),
    allow_actions(
        "an ended job can be cancelled", succeeded=("cancel",), failed=("cancel", "retry")
    ),
]
