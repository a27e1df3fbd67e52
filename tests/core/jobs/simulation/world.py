"""A simulated clock, an empty database, and the driver's own record of each job."""

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
from tests.job_invariants import END_STATES

START_MS = 1_800_000_000_000
DATASET = "ds_simulated"
LEASE_MS, SWEEP_MS, STEP_TIMEOUT_MS = 30_000, 5_000, 120_000
PERMANENT_TABLES = ("tenants", "datasets", "webhooks")


class Violation(AssertionError):
    """A broken invariant of the job store."""


class World:
    """An in-memory database for any number of histories, emptied between them."""

    step_timeout_s = STEP_TIMEOUT_MS / 1000

    def __init__(self) -> None:
        self.now_ms = START_MS  # an integer, so that sums are exact
        self.engine = make_engine("sqlite://", now=lambda: self.now_ms / 1000)
        Base.metadata.create_all(self.engine)
        # The same connection without the cost of SQLAlchemy: it is read after every action.
        self.raw: sqlite3.Connection = self.engine.raw_connection().driver_connection
        with write(self.engine) as session:
            add_base_rows(session)

    def wait(self, ms: int) -> None:
        self.now_ms += ms

    def empty(self) -> None:
        self.now_ms = START_MS
        with self.engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                if table.name not in PERMANENT_TABLES:
                    connection.exec_driver_sql(f"DELETE FROM {table.name}")  # noqa: S608


def add_base_rows(session: Session) -> None:
    """Add the rows that jobs need: a tenant, a dataset and a webhook for every end state."""
    session.merge(Tenant(id=TENANT, name="default"))
    session.flush()
    ready = DatasetState.READY
    session.add(Dataset(id=DATASET, tenant_id=TENANT, name="d", modality="image", state=ready))
    events = [f"job.{state}" for state in sorted(END_STATES)]
    url = "https://example.com/hook"
    session.add(Webhook(id=new_id("wh"), tenant_id=TENANT, url=url, events=events, secret="s"))  # noqa: S106


@dataclass
class HeldClaim:
    """A claim as its worker sees it; the driver computes the times itself."""

    claim: Claim
    lease_ends: int
    step_deadline: int
    reported: tuple[str, int]  # phase and step of the last heartbeat
    step: int = 0
    saved_step: int = 0
    is_active: bool = True  # neither released nor observed as lost
    cancel: bool = False
    pause: bool = False


@dataclass
class TrackedJob:
    """The driver's own record of a job."""

    steps: int
    checkpoint_interval: int  # steps
    kills_workers: bool  # every worker that claims the job dies
    latest: HeldClaim | None = None
    saved_step: int = 0
    cancelled_in_queue: bool = False
    final_row: "Row | None" = None


SELECT_JOBS = """SELECT id, state, fencing_token, worker_losses, max_worker_losses, version, step,
    result, error, finished_at
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


def check_rows(
    connection: sqlite3.Connection,
    tracked: dict[str, TrackedJob],
    now_ms: int,
    count: Callable[[str], None],
) -> dict[str, str]:
    """Compare every row with the driver's record; note which workers were lost."""
    rows = [Row(*values) for values in connection.execute(SELECT_JOBS)]
    for row in rows:
        job = tracked[row.id]
        if job.final_row is not None:
            if row != job.final_row:
                raise Violation(f"an ended job changed: {job.final_row} to {row}")
            continue
        _check_owner(job, row, now_ms, count)
        if job.cancelled_in_queue and row.state != "cancelled":
            raise Violation(f"cancelled while queued, but now {row.state}")
        if row.worker_losses > row.max_worker_losses:
            raise Violation(f"lost {row.worker_losses} workers, more than {row.max_worker_losses}")
        if row.state in END_STATES:
            job.final_row = row
    return {row.id: row.state for row in rows}


def _check_owner(job: TrackedJob, row: Row, now_ms: int, count: Callable[[str], None]) -> None:
    held = job.latest
    is_running = row.state == "running"
    if is_running and (held is None or row.fencing_token != held.claim.fencing_token):
        raise Violation("a job runs without a claim")
    if is_running and held is not None and not held.is_active:
        raise Violation("a job runs although its worker has released it")
    if held is None or not held.is_active or is_running:
        return
    if now_ms <= held.lease_ends and now_ms <= held.step_deadline:
        raise Violation(f"a job lost its worker under a valid lease: {row.state}")
    count("expired lease detected" if now_ms > held.lease_ends else "hung step detected")
    held.is_active = False


def to_milliseconds(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
