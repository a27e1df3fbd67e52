"""Actions of workers in a history, and the expected response of the store to each."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session

from core import jobs, model_registry
from core.database import read, write
from core.errors import JobError
from core.jobs import Claim, Heartbeat, NewCheckpoint
from core.leases import LeaseLost
from core.storage import StoredObject
from core.tables import Job
from tests.conftest import TENANT
from tests.core.jobs.simulation.clients import Clients
from tests.core.jobs.simulation.world import (
    LEASE_MS,
    STEP_TIMEOUT_MS,
    HeldClaim,
    Violation,
    World,
    to_milliseconds,
)

T = TypeVar("T")
WORKERS = 3
QUEUES = ["training"]
FIRST_STEP_TIMEOUT_MS = round(Heartbeat.step_timeout_s * 1000)


@dataclass
class Worker:
    name: str
    held: HeldClaim | None = None
    frozen: bool = False
    hung: bool = False


class Workers(Clients):
    def __init__(self, seed: int, world: World, counter: Counter[str]) -> None:
        super().__init__(seed, world, counter)
        self.workers = [Worker(f"w{i}") for i in range(WORKERS)]
        self.lost_claims: list[HeldClaim] = []  # their workers do not know yet
        self.objects: set[str] = set()

    def deliver(self) -> None:
        """Deliver a notification to a worker; some are delivered again later."""
        worker = self.rng.choice(self.workers)
        if not self.notifications or not self.broker_is_up or worker.held or worker.frozen:
            return
        job_id = self.rng.choice(self.notifications)
        if self.rng.random() < 0.5:
            self.notifications.remove(job_id)
        else:
            self.count("notification delivered again")
        with write(self.engine) as session:
            claim_and_job = jobs.claim_next(session, QUEUES, worker.name)
        self._record_claim(worker, claim_and_job)

    def poll(self) -> None:
        worker = self.rng.choice(self.workers)
        if worker.held is None and not worker.frozen:
            with write(self.engine) as session:
                claim_and_job = jobs.claim_next(session, QUEUES, worker.name)
            self._record_claim(worker, claim_and_job)

    def _record_claim(self, worker: Worker, claim_and_job: tuple[Claim, Job] | None) -> None:
        if claim_and_job is None:
            return
        self.count("claimed")
        claim, job = claim_and_job
        tracked, now = self.tracked[job.id], self.world.now_ms
        with read(self.engine) as session:
            checkpoints = jobs.checkpoints_of(session, TENANT, job.id)
        step = checkpoints[0].step if checkpoints else 0
        self._check_claim(claim, job, step)
        step_deadline = now + FIRST_STEP_TIMEOUT_MS
        tracked.latest = HeldClaim(
            claim, now + LEASE_MS, step_deadline, ("preparing", job.step), step, step
        )
        worker.held, worker.hung = tracked.latest, False
        if tracked.kills_workers:
            worker.held = None
            self.count("worker killed by its job")

    def _check_claim(self, claim: Claim, job: Job, step: int) -> None:
        tracked, now = self.tracked[job.id], self.world.now_ms
        before = tracked.latest
        if to_milliseconds(job.available_at) > now:
            raise Violation("claimed before available_at")
        if step != tracked.saved_step:
            raise Violation(f"resumes from step {step}, but step {tracked.saved_step} was saved")
        if before is None:
            return
        if before.step - step > tracked.checkpoint_interval:
            raise Violation("repeats more steps than the checkpoint interval")
        if before.is_active and now <= before.lease_ends and now <= before.step_deadline:
            raise Violation("claimed while another lease is valid")
        if claim.fencing_token <= before.claim.fencing_token:
            raise Violation("the fencing token did not grow")
        if before.is_active:
            self.count("claimed after an expired lease")
            before.is_active = False

    def _choose_busy_worker(self) -> Worker | None:
        busy = [w for w in self.workers if w.held is not None and not w.frozen]
        return self.rng.choice(busy) if busy else None

    def work(self) -> None:
        """Do what the loop of a worker would do next: stop on request, finish, save or train."""
        if (worker := self._choose_busy_worker()) is None or worker.held is None:
            return
        held = worker.held
        tracked = self.tracked[held.claim.job_id]
        if held.cancel:
            self._end_claim(worker, lambda session: jobs.confirm_cancelled(session, held.claim))
        elif held.pause:
            self._end_claim(worker, lambda session: jobs.confirm_paused(session, held.claim))
        elif held.step >= tracked.steps and held.saved_step == held.step:
            self._end_claim(worker, lambda session: self._finish(session, held))
        elif (
            held.step - held.saved_step >= tracked.checkpoint_interval or held.step >= tracked.steps
        ):
            self._save(worker, held)
        elif not worker.hung:
            held.step += 1

    def heartbeat(self) -> None:
        if (worker := self._choose_busy_worker()) is not None and worker.held is not None:
            self._heartbeat(worker, worker.held)

    def _heartbeat(self, worker: Worker, held: HeldClaim) -> None:
        now = self.world.now_ms
        stop_requests = self._write(
            worker,
            held,
            lambda session: jobs.heartbeat(
                session, held.claim, Heartbeat("training", held.step, self.world.step_timeout_s)
            ),
        )
        if stop_requests is None:
            return
        held.lease_ends = now + LEASE_MS
        if held.reported != ("training", held.step):
            held.step_deadline = now + STEP_TIMEOUT_MS
        held.reported = ("training", held.step)
        held.cancel, held.pause = stop_requests.cancel, stop_requests.pause

    def save(self) -> None:
        worker = self._choose_busy_worker()
        if (
            worker is not None
            and worker.held is not None
            and worker.held.step > worker.held.saved_step
        ):
            self._save(worker, worker.held)

    def _save(self, worker: Worker, held: HeldClaim) -> None:
        """Store the file, commit its row and delete replaced files; sometimes die in between."""
        key = f"{held.claim.job_id}/{held.claim.fencing_token}/{held.step}"
        self.objects.add(key)
        if self.rng.random() < 0.08:
            self.count("worker died between file and row")
            worker.held = None
            return
        new = NewCheckpoint(
            held.step, {"model": StoredObject(key, 1, "0" * 64)}, {"modality": "image"}
        )

        def change(session: Session) -> list[str]:
            jobs.add_checkpoint(session, held.claim, new)
            return jobs.drop_checkpoints(session, held.claim, keep_last=2)

        dropped = self._write(worker, held, change)
        if dropped is not None:
            self.tracked[held.claim.job_id].saved_step = held.saved_step = held.step
            self.objects -= set(dropped)

    def preview(self) -> None:
        if (worker := self._choose_busy_worker()) is None or worker.held is None:
            return
        claim, key = worker.held.claim, f"{worker.held.claim.job_id}/preview"
        self.objects.add(key)
        stored = StoredObject(key, 1, "0" * 64)
        self._write(
            worker,
            worker.held,
            lambda session: jobs.add_artifact(
                session, claim, name="previews/1.png", stored=stored, media_type="p", step=1
            ),
        )

    def drain(self) -> None:
        if (worker := self._choose_busy_worker()) is not None and worker.held is not None:
            claim = worker.held.claim
            if self._end_claim(worker, lambda session: jobs.release(session, claim)):
                self.count("drained")

    def fail(self) -> None:
        if (worker := self._choose_busy_worker()) is not None and worker.held is not None:
            claim, error = worker.held.claim, JobError("not_learning", "it did not learn")
            self._end_claim(worker, lambda session: jobs.fail(session, claim, error))

    @staticmethod
    def _finish(session: Session, held: HeldClaim) -> None:
        job = session.get_one(Job, held.claim.job_id)
        checkpoint = jobs.checkpoints_of(session, TENANT, job.id)[0]
        model = model_registry.find_by_checkpoint(session, job, checkpoint)
        model = model or model_registry.create_version(session, job, checkpoint)
        jobs.finish(session, held.claim, result={"step": held.step}, model=model)

    def _end_claim(self, worker: Worker, change: Callable[[Session], None]) -> bool:
        held = worker.held
        assert held is not None

        def ending(session: Session) -> bool:
            change(session)
            return True

        has_ended = self._write(worker, held, ending)
        if has_ended:
            held.is_active, worker.held = False, None
            if self.rng.random() < 0.3:
                self.lost_claims.append(held)  # ends twice, or writes after the end
        return bool(has_ended)

    def _write(
        self, worker: Worker | None, held: HeldClaim, change: Callable[[Session], T]
    ) -> T | None:
        """Run one transaction of a worker; return None if the store rejects it."""
        is_held = self._is_held(held)
        try:
            with write(self.engine) as session:
                result = change(session)
                if worker is not None and self.rng.random() < 0.05:
                    self.world.wait(LEASE_MS + 1)  # between the change and its commit
                    self.count("lease expired before the commit")
        except LeaseLost:
            if is_held is True:
                raise Violation("a write under a valid claim was rejected") from None
            self.count("late write rejected")
            if worker is not None:
                worker.held = None
                if self.rng.random() < 0.5:
                    self.lost_claims.append(held)
            return None
        if is_held is False:
            raise Violation("a write under a lost claim was accepted")
        return result

    def _is_held(self, held: HeldClaim) -> bool | None:
        """Return whether the claim should be valid; None if the driver cannot know."""
        latest = self.tracked[held.claim.job_id].latest
        return held is latest and held.is_active and self.world.now_ms <= held.lease_ends
