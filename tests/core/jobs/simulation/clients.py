"""What clients and the broker do in a history."""

import random
from collections import Counter
from collections.abc import Callable

from sqlalchemy.orm import Session

from core import jobs
from core.database import write
from core.errors import ActionNotAllowed
from core.jobs import NewJob
from core.tables import Job, JobKind
from tests.conftest import TENANT
from tests.core.jobs.simulation.world import DATASET, Known, World


class Clients:
    def __init__(self, seed: int, world: World, seen: Counter[str]) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - to be drawn again from its seed
        self.world, self.engine, self._seen = world, world.engine, seen
        self.known: dict[str, Known] = {}
        self.most_jobs = self.rng.choice((1, 1, 2))
        self.messages: list[str] = []
        self.broker = True

    def seen(self, what: str) -> None:
        self._seen[what] += 1

    def create(self) -> None:
        if len(self.known) >= self.most_jobs:
            return
        with write(self.engine) as session:
            job = jobs.create(session, TENANT, _new_job(len(self.known)))
        self._learn_of(job)

    def _learn_of(self, job: Job) -> None:
        rng = self.rng
        steps = rng.choice((1, 2, 5))
        self.known[job.id] = Known(steps, rng.choice((1, 3)), killer=rng.random() < 0.15)
        if rng.random() < 0.2:
            self.seen("API died between commit and publish")
        else:
            self.publish(job.id)

    def publish(self, job_id: str) -> None:
        if not self.broker:
            return
        self.messages.append(job_id)
        if self.rng.random() < 0.2:
            self.seen("publisher died before it took note")
            return
        with write(self.engine) as session:
            jobs.mark_notified(session, [job_id])

    def break_broker(self) -> None:
        """It goes, or comes back; sometimes with what it held, sometimes empty."""
        self.broker = not self.broker
        if self.rng.random() < 0.5:
            self._seen["hints lost"] += len(self.messages)
            self.messages.clear()

    def cancel(self) -> None:
        job = self._ask(jobs.cancel)
        if job is None:
            return
        if job.state == "cancelled":
            self.known[job.id].cancelled_waiting = True
            self.seen("cancelled while it waited")
        else:
            self.seen("cancelled while it ran")

    def pause(self) -> None:
        if self._ask(jobs.pause) is not None:
            self.seen("paused")

    def resume(self) -> None:
        if (job := self._ask(jobs.resume)) is not None:
            self.seen("resumed")
            self.publish(job.id)

    def retry(self) -> None:
        if len(self.known) < self.most_jobs and (job := self._ask(jobs.retry)) is not None:
            self.seen("retried")
            self._learn_of(job)

    def _ask(self, verb: Callable[[Session, str, str], Job]) -> Job | None:
        job_id = self.rng.choice(list(self.known))
        try:
            with write(self.engine) as session:
                return verb(session, TENANT, job_id)
        except ActionNotAllowed:
            return None


def _new_job(number: int) -> NewJob:
    return NewJob(JobKind.TRAINING, f"m{number}", DATASET, {}, {})
