"""A clock that is told the time, an empty database, and what a history knows without asking it."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from core.database import make_engine, write
from core.ids import new_id
from core.jobs import Claim
from core.tables import Base, Dataset, DatasetState, Tenant, Webhook
from tests.conftest import TENANT
from tests.job_invariants import ENDS

START_MS = 1_800_000_000_000
DATASET = "ds_simulated"
LEASE_MS, SWEEP_MS, PATIENCE_MS = 30_000, 5_000, 120_000
KEPT = ("tenants", "datasets", "webhooks")


class Violation(AssertionError):
    """The store broke its promise."""


class World:
    """One database in memory for any number of histories, emptied between them."""

    patience_s = PATIENCE_MS / 1000

    def __init__(self) -> None:
        self.now_ms = START_MS  # whole ones, so that sums are exact
        self.engine = make_engine("sqlite://", now=lambda: self.now_ms / 1000)
        Base.metadata.create_all(self.engine)
        # The same connection, without SQLAlchemy's cost: it is looked at after every action.
        self.raw: sqlite3.Connection = self.engine.raw_connection().driver_connection
        with write(self.engine) as session:
            furnish(session)

    def wait(self, ms: int) -> None:
        self.now_ms += ms

    def empty(self) -> None:
        self.now_ms = START_MS
        with self.engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                if table.name not in KEPT:
                    connection.exec_driver_sql(f"DELETE FROM {table.name}")  # noqa: S608


def furnish(session: Session) -> None:
    """What jobs need around them: a tenant, a dataset, a webhook that waits for every end."""
    session.merge(Tenant(id=TENANT, name="default"))
    session.flush()
    session.add(Dataset(id=DATASET, tenant_id=TENANT, name="d", state=DatasetState.READY))
    ends = [f"job.{state}" for state in sorted(ENDS)]
    url = "https://example.com/hook"
    session.add(Webhook(id=new_id("wh"), tenant_id=TENANT, url=url, events=ends, secret="s"))  # noqa: S106


@dataclass
class Hold:
    """A claim as its worker has it; the times are our own reckoning, not the table's."""

    claim: Claim
    lease_ends: int
    stalls: int
    told: tuple[str, int]  # phase and step of the last heartbeat
    step: int = 0
    saved: int = 0
    open: bool = True  # neither left by its worker's own word nor seen to be given up
    cancel: bool = False
    pause: bool = False


@dataclass
class Known:
    """Of a job."""

    steps: int
    every: int  # steps between checkpoints
    killer: bool  # whoever starts it dies
    latest: Hold | None = None
    saved: int = 0
    cancelled_waiting: bool = False
    ended: "Row | None" = None


LOOK = """SELECT id, state, fencing_token, worker_losses, max_worker_losses, version, step, result, error, finished_at
FROM jobs"""


class Row(NamedTuple):
    id: str
    state: str
    fencing_token: int
    worker_losses: int
    max_worker_losses: int
    version: int
    step: int
    result: str | None
    error: str | None
    finished_at: str | None


def look(
    connection: sqlite3.Connection,
    known: dict[str, Known],
    now_ms: int,
    seen: Callable[[str], None],
) -> dict[str, str]:
    """Compare every row with what is known of it, and learn from it who was given up."""
    rows = [Row(*values) for values in connection.execute(LOOK)]
    for row in rows:
        job = known[row.id]
        if job.ended is not None:
            if row != job.ended:
                raise Violation(f"an ended job changed: {job.ended} to {row}")
            continue
        _check_hold(job, row, now_ms, seen)
        if job.cancelled_waiting and row.state != "cancelled":
            raise Violation(f"cancelled while it waited, and now {row.state}")
        if row.worker_losses > row.max_worker_losses:
            raise Violation(f"lost {row.worker_losses} workers, more than {row.max_worker_losses}")
        if row.state in ENDS:
            job.ended = row
    return {row.id: row.state for row in rows}


def _check_hold(job: Known, row: Row, now_ms: int, seen: Callable[[str], None]) -> None:
    hold = job.latest
    held = row.state == "running"
    if held and (hold is None or row.fencing_token != hold.claim.fencing_token):
        raise Violation("runs, and nobody was given it")
    if held and hold is not None and not hold.open:
        raise Violation("runs, and its worker has left it")
    if hold is None or not hold.open or held:
        return
    if now_ms <= hold.lease_ends and now_ms <= hold.stalls:
        raise Violation(f"taken from a worker that lives: {row.state}")
    seen("silent worker given up" if now_ms > hold.lease_ends else "hung step given up")
    hold.open = False


def milliseconds(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
