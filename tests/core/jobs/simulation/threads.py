"""The same driver in several threads, on a real clock and a database server.

The response to a single action cannot be predicted then, but the invariants must hold at the end.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.database import get_engine, read
from core.jobs import Claim
from core.tables import Job
from tests.core.jobs.simulation.history import History
from tests.core.jobs.simulation.workers import Worker
from tests.core.jobs.simulation.world import (
    LEASE_MS,
    STEP_TIMEOUT_MS,
    HeldClaim,
    TrackedJob,
    Violation,
)
from tests.job_invariants import END_STATES, violations
from tests.processes import TIMEOUT_S

T = TypeVar("T")
LEASE_S = 0.05
TIME_SCALE = 1000 * LEASE_S / LEASE_MS  # real milliseconds for each simulated one
JOBS, ROUNDS, ACTIONS = 30, 8, 50


@dataclass
class RealWorld:
    """A replacement for World that holds the state shared by all threads."""

    engine: Engine = field(default_factory=get_engine)
    tracked: dict[str, TrackedJob] = field(default_factory=dict)
    notifications: list[str] = field(default_factory=list)
    objects: set[str] = field(default_factory=set)
    step_timeout_s: float = STEP_TIMEOUT_MS / 1000 * TIME_SCALE

    @property
    def now_ms(self) -> int:
        return round(time.time() * 1000)

    def wait(self, ms: int) -> None:
        time.sleep(ms / 1000 * TIME_SCALE)

    def empty(self) -> None:
        """Do nothing: the database is empty at the start, and other threads use it."""


class ThreadHistory(History):
    """The history of one thread, with its own clients and workers, and the jobs of all threads."""

    world: RealWorld

    def __init__(self, seed: int, world: RealWorld, counter: Counter[str]) -> None:
        super().__init__(seed, world, counter)  # type: ignore[arg-type]
        self.tracked, self.notifications, self.objects = (
            world.tracked,
            world.notifications,
            world.objects,
        )
        self.max_jobs = JOBS

    def run_actions(self) -> None:
        for _ in range(ROUNDS):
            self.create()
            for action in self.rng.choices(self._actions, self._weights, k=ACTIONS):
                action()

    def check_rows(self) -> dict[str, str]:
        with Session(self.engine) as session:
            states = dict(session.execute(select(Job.id, Job.state)).all())
        return {job_id: state for job_id, state in states.items() if job_id in self.tracked}

    def _check_sweep(self) -> None:
        """Check nothing: other threads may have claimed since."""

    def _check_claim(self, claim: Claim, job: Job, step: int) -> None:
        """Check nothing: other threads may have written since."""

    def _is_held(self, held: HeldClaim) -> bool | None:
        return None

    def _write(
        self, worker: Worker | None, held: HeldClaim, change: Callable[[Session], T]
    ) -> T | None:
        """Write like the worker, which repeats if another one created the same model version."""
        for _ in range(4):
            try:
                return super()._write(worker, held, change)
            except IntegrityError:
                continue
        return super()._write(worker, held, change)


def run(seed: int, threads: int) -> Counter[str]:
    """Run a history in each thread; raise Violation if an invariant is broken."""
    world, counter = RealWorld(), Counter[str]()
    histories = [ThreadHistory(1_000 * seed + i, world, counter) for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(history.run_actions) for history in histories]:
            future.result()
    _recover(histories)
    with read() as session:
        broken = violations(session, lambda stored: stored.key in world.objects)
    if broken:
        raise Violation("; ".join(broken))
    counter["jobs"] = len(world.tracked)
    return counter


def _recover(histories: Sequence[ThreadHistory]) -> None:
    """Let one worker finish all jobs while lost claims are still used."""
    first, rng = histories[0], random.Random(0)  # noqa: S311
    first.workers[0].frozen = False
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        states = first.check_rows()
        if all(state in END_STATES for state in states.values()):
            return
        first._run_worker(
            first.workers[0], [id for id, state in states.items() if state == "paused"]
        )
        rng.choice(histories).write_late()
    raise Violation("a job does not end")
