"""Random histories of several workers that share the shards of two jobs.

Workers die, freeze and wake up; jobs are paused, resumed and cancelled. Each shard has to become
one file. Each history is generated from a seed.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from core import jobs
from core.database import write
from core.errors import ActionNotAllowed
from core.jobs import Claim, Heartbeat, NewJob, ShardClaim
from core.leases import LeaseLost
from core.settings import get_settings
from core.storage import StoredObject
from core.tables import Artifact, Job, JobKind, JobState, ShardState
from tests.conftest import TENANT, clear_caches
from tests.core.jobs.simulation.world import World
from tests.job_invariants import END_STATES
from tests.servers import SERVER

pytestmark = pytest.mark.skipif(SERVER is not None, reason="the database is in memory")

HISTORIES, SLOW_HISTORIES, ACTIONS, WORKERS = 12, 1_000, 100, 4
QUEUES = ["generation"]
# Minimum counts: a driver that never reaches a state does not test it.
MIN_COUNTS = {
    "completed by a helper": 20,
    "completed by the owner": 20,
    "completed while its job was queued": 1,
    "late file rejected": 5,
    "late heartbeat rejected": 3,
    "claimed after an expired lease": 5,
    "released": 10,
    "cancelled with active shards": 2,
    "paused with active shards": 2,
}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name, value in {
        "LEASE_SECONDS": "30",
        "HEARTBEAT_SECONDS": "10",
        "MAX_WORKER_LOSSES": "99",
    }.items():
        monkeypatch.setenv(f"SEMBLANCE_{name}", value)
    get_settings.cache_clear()
    world = World()
    yield world
    world.engine.dispose()
    clear_caches()


@dataclass
class ShardWorker:
    """A worker and the claims that it believes to be valid."""

    name: str
    job: Claim | None = None
    shard: ShardClaim | None = None
    shard_until: int = 0  # the end of the lease as the driver computes it


class History:
    def __init__(self, seed: int, world: World, counter: Counter[str]) -> None:
        world.empty()
        self.rng, self.world, self.counter = random.Random(seed), world, counter  # noqa: S311
        self.workers = [ShardWorker(f"worker{i}/h:1") for i in range(WORKERS)]
        self.sizes: dict[str, tuple[int, int]] = {}
        self.tokens: dict[str, int] = {}  # the newest claim of each shard
        self.completed: Counter[str] = Counter()

    def run(self) -> None:
        for _ in range(2):
            self.create()
        for _ in range(ACTIONS):
            if self.rng.random() < 0.6:
                self.work(self.rng.choice(self.workers))
            else:
                self.rng.choice((self.wait, self.wait, self.die, self.sweep, self.send_request))()
        self.recover()
        self.check_tables()

    def create(self) -> None:
        size, count = self.rng.randint(1, 5), self.rng.randint(1, 20)
        with write(self.world.engine) as session:
            new = NewJob(
                JobKind.GENERATION, "d", None, {}, {}, queue="generation", model_id="mdl_1"
            )
            self.sizes[jobs.create(session, TENANT, new).id] = (count, size)

    def wait(self) -> None:
        self.world.wait(self.rng.choice((1_000, 5_000, 12_000, 35_000)))

    def die(self) -> None:
        i = self.rng.randrange(WORKERS)
        self.workers[i] = ShardWorker(self.workers[i].name)

    def sweep(self) -> None:
        with write(self.world.engine) as session:
            jobs.sweep(session)

    def send_request(self) -> None:
        job_id = self.rng.choice(list(self.sizes))
        action = self.rng.choices((jobs.pause, jobs.resume, jobs.cancel), (3, 5, 1))[0]
        try:
            with write(self.world.engine) as session:
                action(session, TENANT, job_id)
        except ActionNotAllowed:
            return
        if action is not jobs.resume and any(
            worker.shard is not None and worker.shard.job_id == job_id for worker in self.workers
        ):
            self.counter[
                f"{action.__name__}{'led' if action is jobs.cancel else 'd'} with active shards"
            ] += 1

    def work(self, worker: ShardWorker) -> None:
        """Run one transaction of a worker."""
        try:
            if worker.shard is not None:
                self.work_on_shard(worker, worker.shard)
            elif worker.job is not None:
                self.work_on_job(worker, worker.job)
            else:
                self.claim_work(worker)
        except LeaseLost:
            worker.job = None

    def claim_work(self, worker: ShardWorker) -> None:
        with write(self.world.engine) as session:
            claim_and_job = jobs.claim_next(session, QUEUES, worker.name)
            if claim_and_job is not None:
                worker.job = claim_and_job[0]
                count, size = self.sizes[worker.job.job_id]
                jobs.create_shards(session, worker.job, count=count, size=size)
                self.record_claim(worker, jobs.claim_shard(session, worker.job.job_id, worker.name))
            else:
                self.record_claim(worker, jobs.claim_any_shard(session, QUEUES, worker.name))

    def record_claim(self, worker: ShardWorker, shard: ShardClaim | None) -> None:
        worker.shard = shard
        if shard is None:
            return
        before = self.tokens.get(shard.shard_id, 0)
        assert shard.fencing_token == before + 1
        assert self.completed[shard.shard_id] == 0
        for other in self.workers:
            other_shard_id = other.shard.shard_id if other.shard is not None else None
            if other is not worker and other_shard_id == shard.shard_id:
                assert self.world.now_ms > other.shard_until, "claimed under a valid lease"
                self.counter["claimed after an expired lease"] += 1
        self.tokens[shard.shard_id] = shard.fencing_token
        worker.shard_until = self.world.now_ms + 30_000

    def is_held(self, worker: ShardWorker, shard: ShardClaim) -> bool:
        is_newest = self.tokens[shard.shard_id] == shard.fencing_token
        return is_newest and self.world.now_ms <= worker.shard_until

    def work_on_shard(self, worker: ShardWorker, shard: ShardClaim) -> None:
        action = self.rng.choices((self.renew, self.complete, self.release_shard), (3, 6, 1))[0]
        action(worker, shard)

    def renew(self, worker: ShardWorker, shard: ShardClaim) -> None:
        with write(self.world.engine) as session:
            if worker.job is not None:
                jobs.heartbeat(session, worker.job, Heartbeat("generating"))
            try:
                requests = jobs.renew_shard(session, shard, items_done=1, cpu_s=0.0, wall_s=0.0)
            except LeaseLost:
                self.counter["late heartbeat rejected"] += 1
                worker.shard = None
                return
        assert self.is_held(worker, shard)
        worker.shard_until = self.world.now_ms + 30_000
        if requests.cancel or requests.pause:
            self.stop(
                worker, shard, jobs.confirm_cancelled if requests.cancel else jobs.confirm_paused
            )

    def stop(self, worker: ShardWorker, shard: ShardClaim, end: Callable[..., None]) -> None:
        self.release_shard(worker, shard)
        if worker.job is not None:
            with write(self.world.engine) as session:
                end(session, worker.job)
            worker.job = None

    def complete(self, worker: ShardWorker, shard: ShardClaim) -> None:
        worker.shard = None
        key = f"{shard.shard_id}/{shard.fencing_token}"
        metadata = {"name": f"shard-{shard.number}", "media_type": "x/y", "labels": {}}
        try:
            with write(self.world.engine) as session:
                is_queued = session.get_one(Job, shard.job_id).state is JobState.QUEUED
                stored = StoredObject(key, shard.stop - shard.start, "0")
                jobs.complete_shard(
                    session, shard, stored=stored, **metadata, cpu_s=0.0, wall_s=0.0
                )
        except LeaseLost:
            self.counter["late file rejected"] += 1
            return
        assert self.tokens[shard.shard_id] == shard.fencing_token
        self.completed[shard.shard_id] += 1
        self.counter[
            "completed by the owner" if worker.job is not None else "completed by a helper"
        ] += 1
        self.counter["completed while its job was queued"] += is_queued

    def release_shard(self, worker: ShardWorker, shard: ShardClaim) -> None:
        with suppress(LeaseLost), write(self.world.engine) as session:
            jobs.release_shard(session, shard)
        self.counter["released"] += 1
        worker.shard = None

    def work_on_job(self, worker: ShardWorker, claim: Claim) -> None:
        with write(self.world.engine) as session:
            stop_requests = jobs.heartbeat(session, claim, Heartbeat("generating"))
            progress = jobs.shard_progress(session, claim.job_id)
            if self.rng.random() < 0.2:
                jobs.release(session, claim)  # the other workers continue with the shards
            elif stop_requests.cancel:
                jobs.confirm_cancelled(session, claim)
            elif progress.done == progress.shards:
                jobs.finish(session, claim, result={})
            elif stop_requests.pause:
                jobs.confirm_paused(session, claim)
            else:
                self.record_claim(worker, jobs.claim_shard(session, claim.job_id, worker.name))
                return
        worker.job = None

    def recover(self) -> None:
        """Replace all workers by one without faults, until every job has ended."""
        healthy_worker = ShardWorker("healthy_worker/h:1")
        self.workers = [healthy_worker]
        for _ in range(500):
            self.world.wait(10_000)
            self.sweep()
            for job_id, state in self.states().items():
                if state is JobState.PAUSED:
                    with write(self.world.engine) as session:
                        jobs.resume(session, TENANT, job_id)
            if healthy_worker.shard is not None:
                self.complete(healthy_worker, healthy_worker.shard)
            else:
                self.work(healthy_worker)
            if set(self.states().values()) <= END_STATES:
                return
        pytest.fail(f"not all jobs have ended: {self.states()}")

    def states(self) -> dict[str, JobState]:
        with write(self.world.engine) as session:
            return {row.id: row.state for row in session.execute(select(Job.id, Job.state))}

    def check_tables(self) -> None:
        with write(self.world.engine) as session:
            for job in session.scalars(select(Job)):
                shards = jobs.shards_of(session, job.id)
                files = session.scalars(select(Artifact).where(Artifact.job_id == job.id)).all()
                done = [shard for shard in shards if shard.state is ShardState.DONE]
                assert {file.key for file in files} == {f"{s.id}/{s.fencing_token}" for s in done}
                assert len(files) == len(done)
                if job.state is JobState.SUCCEEDED:
                    count, size = self.sizes[job.id]
                    ranges = [(shard.start, shard.stop) for shard in done]
                    starts = range(0, count, size)
                    assert ranges == [(start, min(count, start + size)) for start in starts]
        assert set(self.completed.values()) <= {1}


def run(world: World, seeds: range) -> Counter[str]:
    counter: Counter[str] = Counter()
    for seed in seeds:
        try:
            History(seed, world, counter).run()
        except Exception as error:
            error.add_note(f"in the history of seed {seed}")
            raise
    return counter


@pytest.mark.slow
def test_each_shard_becomes_one_file_despite_faults_of_workers(world: World) -> None:
    counter = run(world, range(HISTORIES))
    assert {
        event: counter[event] for event, minimum in MIN_COUNTS.items() if counter[event] < minimum
    } == {}


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_each_shard_becomes_one_file_in_many_more_histories(world: World) -> None:
    run(world, range(HISTORIES, HISTORIES + SLOW_HISTORIES))
