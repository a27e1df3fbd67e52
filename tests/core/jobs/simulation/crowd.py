"""The same driver in several threads at once, on a real clock and a database server.

Nobody can say then what a single answer should have been; what must hold at the end still can.
"""

import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.database import get_engine, read
from core.jobs import Claim
from core.tables import Job
from tests.core.jobs.simulation.history import History
from tests.core.jobs.simulation.world import LEASE_MS, PATIENCE_MS, Hold, Known, Violation
from tests.job_invariants import ENDS, violations

LEASE_S = 0.05
SLOWER = 1000 * LEASE_S / LEASE_MS  # a lease of the simulation lasts as long as one of the store
JOBS, ROUNDS, ACTIONS = 30, 8, 50
HEALED_WITHIN_S = 30.0


@dataclass
class RealWorld:
    """Stands where World does; what all threads share lies here."""

    engine: Engine = field(default_factory=get_engine)
    known: dict[str, Known] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    objects: set[str] = field(default_factory=set)
    patience_s: float = PATIENCE_MS / 1000 * SLOWER

    @property
    def now_ms(self) -> int:
        return round(time.time() * 1000)

    def wait(self, ms: int) -> None:
        time.sleep(ms / 1000 * SLOWER)

    def empty(self) -> None:
        """The test's database is empty already, and other threads are at work on it."""


class Member(History):
    """One of a crowd: clients and workers of its own, jobs of all."""

    world: RealWorld

    def __init__(self, seed: int, world: RealWorld, seen: Counter[str]) -> None:
        super().__init__(seed, world, seen)  # type: ignore[arg-type]
        self.known, self.messages, self.objects = world.known, world.messages, world.objects
        self.most_jobs = JOBS

    def take_part(self) -> None:
        for _ in range(ROUNDS):
            self.create()
            for action in self.rng.choices(self._actions, self._weights, k=ACTIONS):
                action()

    def look(self) -> dict[str, str]:
        with Session(self.engine) as session:
            states = dict(session.execute(select(Job.id, Job.state)).all())
        return {job_id: state for job_id, state in states.items() if job_id in self.known}

    def _judge_sweep(self) -> None:
        """Others may have claimed since."""

    def _judge_claim(self, claim: Claim, job: Job, step: int) -> None:
        """Others may have written since."""

    def _holds(self, hold: Hold) -> bool | None:
        return None


def run(seed: int, threads: int) -> Counter[str]:
    """Raises Violation."""
    world, seen = RealWorld(), Counter[str]()
    members = [Member(1_000 * seed + i, world, seen) for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(member.take_part) for member in members]:
            done.result()
    _heal(members)
    with read() as session:
        found = violations(session, lambda stored: stored.key in world.objects)
    if found:
        raise Violation("; ".join(found))
    seen["jobs"] = len(world.known)
    return seen


def _heal(members: Sequence[Member]) -> None:
    """One well worker, and the others' lost claims for as long as they like."""
    doctor, rng = members[0], random.Random(0)  # noqa: S311
    doctor.workers[0].frozen = False
    deadline = time.monotonic() + HEALED_WITHIN_S
    while time.monotonic() < deadline:
        states = doctor.look()
        if all(state in ENDS for state in states.values()):
            return
        doctor._care(doctor.workers[0], [id for id, state in states.items() if state == "paused"])
        rng.choice(members).haunt()
    raise Violation("a job does not end")
