"""What workers do in a history, and what each answer of the store should have been."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session

from core import jobs, model_registry
from core.database import read, write
from core.errors import JobError
from core.jobs import Claim, Heartbeat, LeaseLost, NewCheckpoint
from core.storage import StoredObject
from core.tables import Job
from tests.conftest import TENANT
from tests.core.jobs.simulation.clients import Clients
from tests.core.jobs.simulation.world import (
    LEASE_MS,
    PATIENCE_MS,
    Hold,
    Violation,
    World,
    milliseconds,
)

T = TypeVar("T")
WORKERS = 3
QUEUES = ["training"]
FIRST_PATIENCE_MS = round(Heartbeat.step_timeout_s * 1000)


@dataclass
class Worker:
    name: str
    hold: Hold | None = None
    frozen: bool = False
    hung: bool = False


class Workers(Clients):
    def __init__(self, seed: int, world: World, seen: Counter[str]) -> None:
        super().__init__(seed, world, seen)
        self.workers = [Worker(f"w{i}") for i in range(WORKERS)]
        self.ghosts: list[Hold] = []  # claims that were lost, in hands that have not noticed
        self.objects: set[str] = set()

    def deliver(self) -> None:
        """A hint reaches a worker; some reach another one later, again."""
        worker = self.rng.choice(self.workers)
        if not self.messages or not self.broker or worker.hold or worker.frozen:
            return
        job_id = self.rng.choice(self.messages)
        if self.rng.random() < 0.5:
            self.messages.remove(job_id)
        else:
            self.seen("hint delivered again")
        with write(self.engine) as session:
            taken = jobs.claim(session, job_id, worker.name)
            taken = taken or jobs.claim_next(session, QUEUES, worker.name)
        self._take(worker, taken)

    def poll(self) -> None:
        worker = self.rng.choice(self.workers)
        if worker.hold is None and not worker.frozen:
            with write(self.engine) as session:
                taken = jobs.claim_next(session, QUEUES, worker.name)
            self._take(worker, taken)

    def _take(self, worker: Worker, taken: tuple[Claim, Job] | None) -> None:
        if taken is None:
            return
        self.seen("claimed")
        claim, job = taken
        known, now = self.known[job.id], self.world.now_ms
        with read(self.engine) as session:
            saved = jobs.checkpoints_of(session, TENANT, job.id)
        step = saved[0].step if saved else 0
        self._judge_claim(claim, job, step)
        first = now + FIRST_PATIENCE_MS
        known.latest = Hold(claim, now + LEASE_MS, first, ("preparing", job.step), step, step)
        worker.hold, worker.hung = known.latest, False
        if known.killer:
            worker.hold = None
            self.seen("worker killed by its job")

    def _judge_claim(self, claim: Claim, job: Job, step: int) -> None:
        known, now = self.known[job.id], self.world.now_ms
        before = known.latest
        if milliseconds(job.available_at) > now:
            raise Violation("claimed before its time")
        if step != known.saved:
            raise Violation(f"goes on from step {step}; step {known.saved} was saved")
        if before is None:
            return
        if before.step - step > known.every:
            raise Violation("more than a checkpoint's interval is repeated")
        if before.open and now <= before.lease_ends and now <= before.stalls:
            raise Violation("claimed while another's lease runs")
        if claim.fencing_token <= before.claim.fencing_token:
            raise Violation("the fence did not rise")
        if before.open:
            self.seen("claimed from a silent worker")
            before.open = False

    def _busy(self) -> Worker | None:
        busy = [w for w in self.workers if w.hold is not None and not w.frozen]
        return self.rng.choice(busy) if busy else None

    def work(self) -> None:
        """What the worker's loop would do next: stop as asked, end, save, or train on."""
        if (worker := self._busy()) is None or worker.hold is None:
            return
        hold = worker.hold
        known = self.known[hold.claim.job_id]
        if hold.cancel:
            self._leave(worker, lambda session: jobs.confirm_cancelled(session, hold.claim))
        elif hold.pause:
            self._leave(worker, lambda session: jobs.confirm_paused(session, hold.claim))
        elif hold.step >= known.steps and hold.saved == hold.step:
            self._leave(worker, lambda session: self._finish(session, hold))
        elif hold.step - hold.saved >= known.every or hold.step >= known.steps:
            self._save(worker, hold)
        elif not worker.hung:
            hold.step += 1

    def beat(self) -> None:
        if (worker := self._busy()) is not None and worker.hold is not None:
            self._beat(worker, worker.hold)

    def _beat(self, worker: Worker, hold: Hold) -> None:
        now = self.world.now_ms
        orders = self._write(
            worker,
            hold,
            lambda session: jobs.heartbeat(
                session, hold.claim, Heartbeat("training", hold.step, self.world.patience_s)
            ),
        )
        if orders is None:
            return
        hold.lease_ends = now + LEASE_MS
        if hold.told != ("training", hold.step):
            hold.stalls = now + PATIENCE_MS
        hold.told = ("training", hold.step)
        hold.cancel, hold.pause = orders.cancel, orders.pause

    def save(self) -> None:
        worker = self._busy()
        if worker is not None and worker.hold is not None and worker.hold.step > worker.hold.saved:
            self._save(worker, worker.hold)

    def _save(self, worker: Worker, hold: Hold) -> None:
        """The file, then the row, then the files that the row replaces; death in between."""
        key = f"{hold.claim.job_id}/{hold.claim.fencing_token}/{hold.step}"
        self.objects.add(key)
        if self.rng.random() < 0.08:
            self.seen("worker died between file and row")
            worker.hold = None
            return
        new = NewCheckpoint(
            hold.step, {"model": StoredObject(key, 1, "0" * 64)}, {"modality": "image"}
        )

        def change(session: Session) -> list[str]:
            jobs.add_checkpoint(session, hold.claim, new)
            return jobs.drop_checkpoints(session, hold.claim, keep_last=2)

        dropped = self._write(worker, hold, change)
        if dropped is not None:
            self.known[hold.claim.job_id].saved = hold.saved = hold.step
            self.objects -= set(dropped)

    def preview(self) -> None:
        if (worker := self._busy()) is None or worker.hold is None:
            return
        claim, key = worker.hold.claim, f"{worker.hold.claim.job_id}/preview"
        self.objects.add(key)
        stored = StoredObject(key, 1, "0" * 64)
        self._write(
            worker,
            worker.hold,
            lambda session: jobs.add_artifact(
                session, claim, name="previews/1.png", stored=stored, media_type="p", step=1
            ),
        )

    def drain(self) -> None:
        if (worker := self._busy()) is not None and worker.hold is not None:
            claim = worker.hold.claim
            if self._leave(worker, lambda session: jobs.release(session, claim)):
                self.seen("drained")

    def fail(self) -> None:
        if (worker := self._busy()) is not None and worker.hold is not None:
            claim, error = worker.hold.claim, JobError("not_learning", "it did not learn")
            self._leave(worker, lambda session: jobs.fail(session, claim, error))

    @staticmethod
    def _finish(session: Session, hold: Hold) -> None:
        job = session.get_one(Job, hold.claim.job_id)
        checkpoint = jobs.checkpoints_of(session, TENANT, job.id)[0]
        model = model_registry.create_version(session, job, checkpoint)
        jobs.finish(session, hold.claim, result={"step": hold.step}, model=model)

    def _leave(self, worker: Worker, change: Callable[[Session], None]) -> bool:
        hold = worker.hold
        assert hold is not None

        def ending(session: Session) -> bool:
            change(session)
            return True

        left = self._write(worker, hold, ending)
        if left:
            hold.open, worker.hold = False, None
            if self.rng.random() < 0.3:
                self.ghosts.append(hold)  # it ends twice, or writes on after its end
        return bool(left)

    def _write(self, worker: Worker | None, hold: Hold, change: Callable[[Session], T]) -> T | None:
        """One transaction of a worker; None when it was refused."""
        holds = self._holds(hold)
        try:
            with write(self.engine) as session:
                result = change(session)
                if worker is not None and self.rng.random() < 0.05:
                    self.world.wait(LEASE_MS + 1)  # between the change and its commit
                    self.seen("lease ran out before the commit")
        except LeaseLost:
            if holds is True:
                raise Violation("a worker that holds its job was refused") from None
            self.seen("late write refused")
            if worker is not None:
                worker.hold = None
                if self.rng.random() < 0.5:
                    self.ghosts.append(hold)
            return None
        if holds is False:
            raise Violation("a worker that has lost its job wrote to it")
        return result

    def _holds(self, hold: Hold) -> bool | None:
        """By our own reckoning; None where that cannot be known."""
        latest = self.known[hold.claim.job_id].latest
        return hold is latest and hold.open and self.world.now_ms <= hold.lease_ends
