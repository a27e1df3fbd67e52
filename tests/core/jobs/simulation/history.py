"""A history of random actions from one seed, by clients, workers, a broker and a clock.

All changes of jobs run the production code on a real database. The driver tracks the owner of each
job independently and checks each response of the store against that.
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
from tests.core.jobs.simulation.world import LEASE_MS, Violation, World, check_rows
from tests.job_invariants import END_STATES, violations

ACTIONS = 23
MAX_BACKOFF_MS = 150_000  # of a job that lost workers


class History(Workers):
    def __init__(self, seed: int, world: World, counter: Counter[str]) -> None:
        super().__init__(seed, world, counter)
        actions = (
            *(self.create, self.deliver, self.poll, self.work, self.heartbeat, self.save),
            *(self.pass_time, self.let_leases_expire, self.hang, self.sweep, self.die, self.freeze),
            *(self.thaw, self.write_late, self.drain, self.fail, self.preview),
            *(self.cancel, self.pause, self.resume, self.retry, self.toggle_broker),
        )
        # The weights differ, so that actions that are rare in one history are frequent in another.
        weights = [self.rng.choice((0, 1, 1, 4)) for _ in actions]
        self._actions: list[Callable[[], None]] = list(actions)
        self._weights = [
            w + (a in (self.create, self.poll, self.work))
            for w, a in zip(weights, actions, strict=True)
        ]

    def run(self) -> None:
        """Run the actions, then let every job end; raise Violation if an invariant is broken."""
        self.world.empty()
        self.create()
        for action in self.rng.choices(self._actions, self._weights, k=ACTIONS):
            action()
            self.check_rows()
        self.recover()
        self.check_tables()

    def check_rows(self) -> dict[str, str]:
        return check_rows(self.world.raw, self.tracked, self.world.now_ms, self.count)

    # Faults

    def pass_time(self) -> None:
        self.world.wait(self.rng.randrange(1, 12_000))

    def let_leases_expire(self) -> None:
        self.world.wait(LEASE_MS + self.rng.randrange(1, 3_000))

    def hang(self) -> None:
        """Let a step hang while the heartbeats continue."""
        if (worker := self._choose_busy_worker()) is None or worker.held is None:
            return
        worker.hung, held = True, worker.held
        for _ in range(6):
            if worker.held is not None:
                self.world.wait(25_000)
                self._heartbeat(worker, held)
        self.sweep()

    def sweep(self) -> None:
        with write(self.engine) as session:
            notifications = jobs.sweep(session)
        self._check_sweep()
        for notification in notifications:
            self.publish(notification.job_id)

    def _check_sweep(self) -> None:
        self.check_rows()
        for tracked in self.tracked.values():
            held = tracked.latest
            if (
                held
                and held.is_active
                and self.world.now_ms > min(held.lease_ends, held.step_deadline)
            ):
                raise Violation("a sweep has missed an expired lease or a hung step")

    def die(self) -> None:
        if (worker := self._choose_busy_worker()) is not None:
            self.count("worker died")
            worker.held = None

    def freeze(self) -> None:
        """Freeze a worker, often until another worker has claimed its job."""
        if (worker := self._choose_busy_worker()) is None:
            return
        worker.frozen = True
        if self.rng.random() < 0.6:
            self.let_leases_expire()
            self.sweep()
            self.poll()
            self.thaw()

    def thaw(self) -> None:
        frozen = [worker for worker in self.workers if worker.frozen]
        if frozen:
            worker = self.rng.choice(frozen)
            worker.frozen = False
            held = worker.held
            if held is not None and held is not self.tracked[held.claim.job_id].latest:
                self.count("frozen worker woke up after another claim")

    def write_late(self) -> None:
        """Use a lost claim for one more write of any kind."""
        if not self.lost_claims:
            return
        held = self.rng.choice(self.lost_claims)
        claim, error = held.claim, JobError("internal", "late")
        writes: list[Callable[[Session], object]] = [
            lambda session: jobs.heartbeat(session, claim, Heartbeat("training", held.step + 1)),
            lambda session: jobs.add_checkpoint(session, claim, NewCheckpoint(99, {})),
            lambda session: jobs.finish(session, claim, result={"step": 99}),
            lambda session: jobs.fail(session, claim, error),
            lambda session: jobs.confirm_cancelled(session, claim),
            lambda session: jobs.confirm_paused(session, claim),
            lambda session: jobs.release(session, claim),
        ]
        self._write(None, held, self.rng.choice(writes))

    # End of a history

    def recover(self) -> None:
        """Continue with one worker and no further faults until every job has ended."""
        self.broker_is_up = False  # no further notification arrives
        for worker in self.workers:
            worker.held = None
        healthy_worker = self.workers[0]
        healthy_worker.frozen = False
        for _ in range(60):
            states = self.check_rows()
            if all(state in END_STATES for state in states.values()):
                return
            self._run_worker(
                healthy_worker, [job_id for job_id, state in states.items() if state == "paused"]
            )
        raise Violation("a job does not end")

    def _run_worker(self, worker: Worker, paused: Sequence[str]) -> None:
        now = self.world.now_ms
        leases = [
            job.latest.lease_ends
            for job in self.tracked.values()
            if job.latest and job.latest.is_active
        ]
        # Wait until a sweep can find an expired lease, or for the longest backoff.
        self.world.wait(max(1, min(leases) + 1 - now) if leases else MAX_BACKOFF_MS)
        self.sweep()
        self.write_late()
        for job_id in paused:
            with write(self.engine) as session:
                jobs.resume(session, TENANT, job_id)
        with write(self.engine) as session:
            claim_and_job = jobs.claim_next(session, QUEUES, worker.name)
        self._record_claim(worker, claim_and_job)
        while worker.held is not None:
            self.world.wait(100)
            self._heartbeat(worker, worker.held)
            for _ in range(4):
                self._work_alone(worker)

    def _work_alone(self, worker: Worker) -> None:
        workers, self.workers = self.workers, [worker]
        self.work()
        self.workers = workers

    def check_tables(self) -> None:
        with read(self.engine) as session:
            broken = violations(session, lambda stored: stored.key in self.objects)
        if broken:
            raise Violation("; ".join(broken))
