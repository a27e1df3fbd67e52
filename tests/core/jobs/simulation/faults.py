"""Faults to be planted in the store, each of a kind that a careless change could bring.

Most replace a fragment of the SQL that the store sends, which leaves all of its code as it is; the
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
from core.jobs import Claim, LeaseLost, Notification, leasing, sweeper
from core.jobs.state_machine import ACTIONS
from core.tables import JobState, Json, Model


@dataclass
class Fault:
    """`planted` counts how often it took effect: a fault that nothing meets proves nothing."""

    name: str
    plant: Callable[["Fault", ExitStack, Engine], None]
    planted: int = 0

    @contextmanager
    def at_work(self, engine: Engine) -> Iterator[None]:
        self.planted = 0
        with ExitStack() as stack:
            self.plant(self, stack, engine)
            yield


def sql(name: str, statement: str, fragment: str, instead: str) -> Fault:
    """In statements that contain `statement`, the fragment reads otherwise. It keeps its
    parameters; `\\g<0>` is the fragment itself.
    """

    def plant(fault: Fault, stack: ExitStack, engine: Engine) -> None:
        def change(
            _connection: Any, _cursor: Any, text: str, parameters: Any, _context: Any, _many: bool
        ) -> tuple[str, Any]:
            if statement not in text:
                return text, parameters
            text, changes = re.subn(re.escape(fragment), instead, text)
            fault.planted += changes
            return text, parameters

        event.listen(engine, "before_cursor_execute", change, retval=True)
        stack.callback(event.remove, engine, "before_cursor_execute", change)

    return Fault(name, plant)


def function(name: str, module: Any, attribute: str, instead: Callable[..., Any]) -> Fault:
    """`instead` gets the function that it replaces as its first argument."""

    def plant(fault: Fault, stack: ExitStack, _engine: Engine) -> None:
        original = getattr(module, attribute)

        def replaced(*arguments: Any, **named: Any) -> Any:
            fault.planted += 1
            return instead(original, *arguments, **named)

        for place in {module, jobs}:
            if getattr(place, attribute, None) is original:
                stack.enter_context(patch.object(place, attribute, replaced))

    return Fault(name, plant)


def verbs(name: str, **allowed: tuple[str, ...]) -> Fault:
    def plant(fault: Fault, stack: ExitStack, _engine: Engine) -> None:
        fault.planted += 1
        stack.enter_context(patch.dict(ACTIONS, allowed))

    return Fault(name, plant)


def finish_all_the_same(
    original: Callable[..., None], session: Session, claim: Claim, *, result: Json, model: Model
) -> None:
    """The model's row is kept although the job was lost."""
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


def only_hints(
    _original: Callable[..., list[Notification]], session: Session
) -> list[Notification]:
    with patch.object(sweeper, "requeue_lost"):
        return list(_original(session))


def swallowed(original: Callable[..., Any], session: Session, claim: Claim) -> None:
    try:
        original(session, claim)
    except LeaseLost:
        return


def untold(_original: Callable[..., Any], *_: Any, **__: Any) -> None:
    """No event, and no webhook, of a change."""


def released_whatever_was_asked(
    _original: Callable[..., Any], session: Session, claim: Claim
) -> None:
    leasing._leave(session, claim, JobState.QUEUED, reason="drained", notified_at=None)


def set_aside_whatever_was_asked(
    _original: Callable[..., Any], session: Session, claim: Claim
) -> None:
    leasing._leave(session, claim, JobState.PAUSED, pause_requested=False)


UPDATE = "UPDATE jobs"
FAULTS = [
    sql("no fence", UPDATE, "jobs.fencing_token = ?", "(jobs.fencing_token = ? OR 1)"),
    sql(
        "an expired lease still writes",
        UPDATE,
        "jobs.lease_until >= semblance_clock(?)",
        "(\\g<0> OR 1)",
    ),
    sql(
        "claims over a live lease",
        "attempt=(jobs.attempt + ?)",
        "jobs.state = ? AND jobs.cancel_requested",
        "(jobs.state = ? OR jobs.state = 'running') AND jobs.cancel_requested",
    ),
    sql(
        "claims before its time",
        "attempt=(jobs.attempt + ?)",
        "jobs.available_at <= semblance_clock(?)",
        "(\\g<0> OR 1)",
    ),
    sql(
        "the fence does not rise",
        UPDATE,
        "fencing_token=(jobs.fencing_token + ?)",
        "fencing_token=(jobs.fencing_token + 0 * ?)",
    ),
    sql(
        "gives up workers that live",
        "jobs",
        "jobs.lease_until < semblance_clock(?)",
        "(\\g<0> OR 1)",
    ),
    sql(
        "hung steps go unseen",
        "jobs",
        "jobs.step_deadline_at < semblance_clock(?)",
        "(\\g<0> AND 0)",
    ),
    sql(
        "a heartbeat does not renew the lease",
        "step_deadline_at=CASE",
        "SET lease_until=semblance_clock(?)",
        "SET lease_until=coalesce(jobs.lease_until, semblance_clock(?))",
    ),
    sql("losses are not counted", UPDATE, "worker_losses=?, ", "worker_losses=0 * ?, "),
    sql(
        "the oldest checkpoint is kept instead of the newest",
        "FROM checkpoints",
        "ORDER BY checkpoints.step DESC, checkpoints.fencing_token DESC",
        "ORDER BY checkpoints.step, checkpoints.fencing_token",
    ),
    function("the sweeper only sends hints", sweeper, "sweep", only_hints),
    function("a job makes two models", leasing, "finish", finish_all_the_same),
    function("a change is not told", leasing, "record_state", untold),
    function("losing the lease is overlooked", leasing, "release", swallowed),
    function(
        "a drained job forgets that it was cancelled",
        leasing,
        "release",
        released_whatever_was_asked,
    ),
    function(
        "a paused job forgets that it was cancelled",
        leasing,
        "confirm_paused",
        set_aside_whatever_was_asked,
    ),
    verbs("an ended job can be cancelled", succeeded=("cancel",), failed=("cancel", "retry")),
]
