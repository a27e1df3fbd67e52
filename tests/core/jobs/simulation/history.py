"""One history from one seed: clients, workers, a broker and a clock, in an order drawn by chance.

Everything that touches a job is the store's real code on a real database; what the driver adds is
its own reckoning of who holds what, against which each answer of the store is checked at once.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from core import jobs
from core.database import read, write
from core.errors import JobError
from core.jobs import Heartbeat, NewCheckpoint
from tests.conftest import TENANT
from tests.core.jobs.simulation.workers import QUEUES, Worker, Workers
from tests.core.jobs.simulation.world import LEASE_MS, Violation, World, look
from tests.job_invariants import ENDS, violations

ACTIONS = 23
LONGEST_WAIT_MS = 150_000  # of a job whose workers were lost


class History(Workers):
    def __init__(self, seed: int, world: World, seen: Counter[str]) -> None:
        super().__init__(seed, world, seen)
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
        self.world.empty()
        self.create()
        for action in self.rng.choices(self._actions, self._weights, k=ACTIONS):
            action()
            self.look()
        self.heal()
        self.audit()

    def look(self) -> dict[str, str]:
        return look(self.world.raw, self.known, self.world.now_ms, self.seen)

    # What goes wrong

    def pass_time(self) -> None:
        self.world.wait(self.rng.randrange(1, 12_000))

    def pass_a_lease(self) -> None:
        self.world.wait(LEASE_MS + self.rng.randrange(1, 3_000))

    def hang(self) -> None:
        """A step that never ends, under heartbeats that go on."""
        if (worker := self._busy()) is None or worker.hold is None:
            return
        worker.hung, hold = True, worker.hold
        for _ in range(6):
            if worker.hold is not None:
                self.world.wait(25_000)
                self._beat(worker, hold)
        self.sweep()

    def sweep(self) -> None:
        with write(self.engine) as session:
            hints = jobs.sweep(session)
        self._judge_sweep()
        for hint in hints:
            self.publish(hint.job_id)

    def _judge_sweep(self) -> None:
        self.look()
        for known in self.known.values():
            hold = known.latest
            if hold and hold.open and self.world.now_ms > min(hold.lease_ends, hold.stalls):
                raise Violation("a sweep has overlooked a silent worker or a hung step")

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
            lambda session: jobs.heartbeat(session, claim, Heartbeat("training", hold.step + 1)),
            lambda session: jobs.add_checkpoint(session, claim, NewCheckpoint(99, {})),
            lambda session: jobs.finish(session, claim, result={"step": 99}),
            lambda session: jobs.fail(session, claim, error),
            lambda session: jobs.confirm_cancelled(session, claim),
            lambda session: jobs.confirm_paused(session, claim),
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
        now = self.world.now_ms
        leases = [
            job.latest.lease_ends for job in self.known.values() if job.latest and job.latest.open
        ]
        # To the first sweep that can find a silent worker, else to the longest wait's end.
        self.world.wait(max(1, min(leases) + 1 - now) if leases else LONGEST_WAIT_MS)
        self.sweep()
        self.haunt()
        for job_id in paused:
            with write(self.engine) as session:
                jobs.resume(session, TENANT, job_id)
        with write(self.engine) as session:
            taken = jobs.claim_next(session, QUEUES, doctor.name)
        self._take(doctor, taken)
        while doctor.hold is not None:
            self.world.wait(100)
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
