"""One history from one seed: clients, workers, a broker and a clock, in an order drawn by chance.

Everything that touches a job is the store's real code on a real database; what the driver adds is
its own reckoning of who holds what, against which each answer of the store is checked at once.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import Session

from core import jobs, registry
from core.database import read, write
from core.errors import JobError, VerbNotAllowed
from core.jobs import Beat, Claim, LeaseLost, NewCheckpoint, NewJob
from core.storage import Stored
from core.tables import Job, JobKind
from tests.conftest import TENANT
from tests.core.jobs.simulation.world import (
    DATASET,
    LEASE_MS,
    PATIENCE_MS,
    Hold,
    Known,
    Violation,
    World,
    look,
    milliseconds,
)
from tests.oracle import ENDS, violations

T = TypeVar("T")
WORKERS, ACTIONS = 3, 26
LONGEST_WAIT_MS = 150_000  # of a job whose workers were lost
QUEUES = ["training"]
FIRST_PATIENCE_MS = round(Beat.patience_s * 1000)


@dataclass
class Worker:
    name: str
    hold: Hold | None = None
    frozen: bool = False
    hung: bool = False


class History:
    def __init__(self, seed: int, world: World, seen: Counter[str]) -> None:
        world.empty()
        self.rng = random.Random(seed)  # noqa: S311 - to be drawn again from its seed
        self.clock, self.engine, self._seen = world.clock, world.engine, seen
        self.raw = world.raw
        self.known: dict[str, Known] = {}
        self.most_jobs = self.rng.choice((1, 1, 2))
        self.workers = [Worker(f"w{i}") for i in range(WORKERS)]
        self.ghosts: list[Hold] = []  # claims that were lost, in hands that have not noticed
        self.messages: list[str] = []
        self.broker = True
        self.objects: set[str] = set()
        actions = (
            *(self.create, self.deliver, self.poll, self.work, self.beat, self.save),
            *(self.pass_time, self.pass_a_lease, self.hang, self.sweep, self.die, self.freeze),
            *(self.thaw, self.haunt, self.drain, self.fail, self.preview),
            *(self.cancel, self.pause, self.resume, self.retry, self.break_broker),
        )
        # Each history leans its own way: rare things become common in some.
        weights = [self.rng.choice((0, 1, 1, 4)) for _ in actions]
        self._actions: list[Callable[[], None]] = list(actions)
        self._weights = [
            w + (a in (self.create, self.poll, self.work))
            for w, a in zip(weights, actions, strict=True)
        ]

    def run(self) -> None:
        """Raises Violation, or whatever else the store should not have raised."""
        self.create()
        for action in self.rng.choices(self._actions, self._weights, k=ACTIONS):
            action()
            self.look()
        self.heal()
        self.audit()

    def seen(self, what: str) -> None:
        self._seen[what] += 1

    def look(self) -> dict[str, str]:
        return look(self.raw, self.known, self.clock.now_ms, self.seen)

    # Clients and the broker

    def create(self) -> None:
        if len(self.known) >= self.most_jobs:
            return
        with write(self.engine) as session:
            job = jobs.create(session, TENANT, NewJob(JobKind.TRAINING, "m", DATASET, {}, {}))
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
            jobs.mark_published(session, job_id)

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
        except VerbNotAllowed:
            return None

    # Workers

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
        known, now = self.known[job.id], self.clock.now_ms
        before = known.latest
        if milliseconds(job.not_before) > now:
            raise Violation("claimed before its time")
        if before is not None:
            self._succeed(before, claim)
        with read(self.engine) as session:
            saved = jobs.checkpoints_of(session, TENANT, job.id)
        step = saved[0].step if saved else 0
        if step != known.saved:
            raise Violation(f"goes on from step {step}; step {known.saved} was saved")
        if before is not None and before.step - step > known.every:
            raise Violation("more than a checkpoint's interval is repeated")
        first = now + FIRST_PATIENCE_MS
        known.latest = Hold(claim, now + LEASE_MS, first, ("preparing", job.step), step, step)
        worker.hold, worker.hung = known.latest, False
        if known.killer:
            worker.hold = None
            self.seen("worker killed by its job")

    def _succeed(self, before: Hold, claim: Claim) -> None:
        now = self.clock.now_ms
        if before.open and now <= before.lease_ends and now <= before.stalls:
            raise Violation("claimed while another's lease runs")
        if claim.token <= before.claim.token:
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
            self._leave(worker, lambda session: jobs.set_aside(session, hold.claim))
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
        now = self.clock.now_ms
        orders = self._write(
            worker,
            hold,
            lambda session: jobs.heartbeat(
                session, hold.claim, Beat("training", hold.step, PATIENCE_MS / 1000)
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
        key = f"{hold.claim.job_id}/{hold.claim.token}/{hold.step}"
        self.objects.add(key)
        if self.rng.random() < 0.08:
            self.seen("worker died between file and row")
            worker.hold = None
            return
        new = NewCheckpoint(hold.step, {"model": Stored(key, 1, "0" * 64)}, {"kind": "images"})

        def change(session: Session) -> list[str]:
            jobs.add_checkpoint(session, hold.claim, new)
            return jobs.drop_checkpoints(session, hold.claim, keep=2)

        dropped = self._write(worker, hold, change)
        if dropped is not None:
            self.known[hold.claim.job_id].saved = hold.saved = hold.step
            self.objects -= set(dropped)

    def preview(self) -> None:
        if (worker := self._busy()) is None or worker.hold is None:
            return
        claim, key = worker.hold.claim, f"{worker.hold.claim.job_id}/preview"
        self.objects.add(key)
        stored = Stored(key, 1, "0" * 64)
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
        model = registry.new_version(session, job, checkpoint)
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
        now = self.clock.now_ms
        latest = self.known[hold.claim.job_id].latest
        holds = hold is latest and hold.open and now <= hold.lease_ends
        try:
            with write(self.engine) as session:
                result = change(session)
                if worker is not None and self.rng.random() < 0.05:
                    self.clock.now_ms += LEASE_MS + 1  # between the change and its commit
                    self.seen("lease ran out before the commit")
        except LeaseLost:
            if holds:
                raise Violation("a worker that holds its job was refused") from None
            self.seen("late write refused")
            if worker is not None:
                worker.hold = None
                if self.rng.random() < 0.5:
                    self.ghosts.append(hold)
            return None
        if not holds:
            raise Violation("a worker that has lost its job wrote to it")
        return result

    # What goes wrong

    def pass_time(self) -> None:
        self.clock.now_ms += self.rng.randrange(1, 12_000)

    def pass_a_lease(self) -> None:
        self.clock.now_ms += LEASE_MS + self.rng.randrange(1, 3_000)

    def hang(self) -> None:
        """A step that never ends, under heartbeats that go on."""
        if (worker := self._busy()) is None or worker.hold is None:
            return
        worker.hung, hold = True, worker.hold
        for _ in range(6):
            if worker.hold is not None:
                self.clock.now_ms += 25_000
                self._beat(worker, hold)
        self.sweep()

    def sweep(self) -> None:
        with write(self.engine) as session:
            hints = jobs.sweep(session)
        self.look()
        for known in self.known.values():
            hold = known.latest
            if hold and hold.open and self.clock.now_ms > min(hold.lease_ends, hold.stalls):
                raise Violation("a sweep has overlooked a silent worker or a hung step")
        for hint in hints:
            self.publish(hint.job_id)

    def die(self) -> None:
        if (worker := self._busy()) is not None:
            self.seen("worker died")
            worker.hold = None

    def freeze(self) -> None:
        """A worker stands still, often until its job is in other hands."""
        if (worker := self._busy()) is None:
            return
        worker.frozen = True
        if self.rng.random() < 0.6:
            self.pass_a_lease()
            self.sweep()
            self.poll()
            self.thaw()

    def thaw(self) -> None:
        frozen = [worker for worker in self.workers if worker.frozen]
        if frozen:
            worker = self.rng.choice(frozen)
            worker.frozen = False
            hold = worker.hold
            if hold is not None and hold is not self.known[hold.claim.job_id].latest:
                self.seen("zombie woke, its job in other hands")

    def haunt(self) -> None:
        """A lost claim is used once more, for anything."""
        if not self.ghosts:
            return
        hold = self.rng.choice(self.ghosts)
        claim, error = hold.claim, JobError("internal", "late")
        late: list[Callable[[Session], object]] = [
            lambda session: jobs.heartbeat(session, claim, Beat("training", hold.step + 1)),
            lambda session: jobs.add_checkpoint(session, claim, NewCheckpoint(99, {})),
            lambda session: jobs.finish(session, claim, result={"step": 99}),
            lambda session: jobs.fail(session, claim, error),
            lambda session: jobs.confirm_cancelled(session, claim),
            lambda session: jobs.set_aside(session, claim),
            lambda session: jobs.release(session, claim),
        ]
        self._write(None, hold, self.rng.choice(late))

    # The end

    def heal(self) -> None:
        """From here on one worker is well and nothing new goes wrong: every job has to end."""
        self.broker = False  # and no hint ever comes again
        for worker in self.workers:
            worker.hold = None
        doctor = self.workers[0]
        doctor.frozen = False
        for _ in range(60):
            states = self.look()
            if all(state in ENDS for state in states.values()):
                return
            self._care(doctor, [job_id for job_id, state in states.items() if state == "paused"])
        raise Violation("a job does not end")

    def _care(self, doctor: Worker, paused: Sequence[str]) -> None:
        now = self.clock.now_ms
        leases = [
            job.latest.lease_ends for job in self.known.values() if job.latest and job.latest.open
        ]
        # To the first sweep that can find a silent worker, else to the longest wait's end.
        self.clock.now_ms += max(1, min(leases) + 1 - now) if leases else LONGEST_WAIT_MS
        self.sweep()
        self.haunt()
        for job_id in paused:
            with write(self.engine) as session:
                jobs.resume(session, TENANT, job_id)
        with write(self.engine) as session:
            taken = jobs.claim_next(session, QUEUES, doctor.name)
        self._take(doctor, taken)
        while doctor.hold is not None:
            self.clock.now_ms += 100
            self._beat(doctor, doctor.hold)
            for _ in range(4):
                self._care_for(doctor)

    def _care_for(self, doctor: Worker) -> None:
        workers, self.workers = self.workers, [doctor]
        self.work()
        self.workers = workers

    def audit(self) -> None:
        with read(self.engine) as session:
            found = violations(session, lambda stored: stored.key in self.objects)
        if found:
            raise Violation("; ".join(found))
