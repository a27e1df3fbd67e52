"""Actions of clients and of the broker in a history."""

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
from tests.core.jobs.simulation.world import DATASET, TrackedJob, World


class Clients:
    def __init__(self, seed: int, world: World, counter: Counter[str]) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - repeatable from its seed
        self.world, self.engine, self._counter = world, world.engine, counter
        self.tracked: dict[str, TrackedJob] = {}
        self.max_jobs = self.rng.choice((1, 1, 2))
        self.notifications: list[str] = []
        self.broker_is_up = True

    def count(self, event: str) -> None:
        self._counter[event] += 1

    def create(self) -> None:
        if len(self.tracked) >= self.max_jobs:
            return
        with write(self.engine) as session:
            job = jobs.create(session, TENANT, _new_job(len(self.tracked)))
        self._track(job)

    def _track(self, job: Job) -> None:
        rng = self.rng
        steps = rng.choice((1, 2, 5))
        self.tracked[job.id] = TrackedJob(
            steps, rng.choice((1, 3)), kills_workers=rng.random() < 0.15
        )
        if rng.random() < 0.2:
            self.count("API died between commit and publish")
        else:
            self.publish(job.id)

    def publish(self, job_id: str) -> None:
        if not self.broker_is_up:
            return
        self.notifications.append(job_id)
        if self.rng.random() < 0.2:
            self.count("publisher died before it recorded the notification")
            return
        with write(self.engine) as session:
            jobs.mark_notified(session, [job_id])

    def toggle_broker(self) -> None:
        """Stop or start the broker; half of the time, its notifications are lost."""
        self.broker_is_up = not self.broker_is_up
        if self.rng.random() < 0.5:
            self._counter["notifications lost"] += len(self.notifications)
            self.notifications.clear()

    def cancel(self) -> None:
        job = self._try_action(jobs.cancel)
        if job is None:
            return
        if job.state == "cancelled":
            self.tracked[job.id].cancelled_in_queue = True
            self.count("cancelled while queued")
        else:
            self.count("cancelled while running")

    def pause(self) -> None:
        if self._try_action(jobs.pause) is not None:
            self.count("paused")

    def resume(self) -> None:
        if (job := self._try_action(jobs.resume)) is not None:
            self.count("resumed")
            self.publish(job.id)

    def retry(self) -> None:
        if len(self.tracked) < self.max_jobs and (job := self._try_action(jobs.retry)) is not None:
            self.count("retried")
            self._track(job)

    def _try_action(self, action: Callable[[Session, str, str], Job]) -> Job | None:
        job_id = self.rng.choice(list(self.tracked))
        try:
            with write(self.engine) as session:
                return action(session, TENANT, job_id)
        except ActionNotAllowed:
            return None


def _new_job(number: int) -> NewJob:
    return NewJob(JobKind.TRAINING, f"m{number}", DATASET, {}, {}, queue="training")
