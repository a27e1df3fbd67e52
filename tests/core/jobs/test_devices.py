"""Routing of jobs to workers by their kind of device, and the loss of devices."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from core import jobs, workers
from core.database import read, write
from core.devices import DeviceKind, DeviceReport
from core.jobs import Claim, NewCheckpoint, NewJob
from core.settings import Settings
from core.tables import Dataset, Job, JobKind
from tests.conftest import TENANT, expire_lease, reload

CPU, GPU = DeviceKind.CPU, DeviceKind.GPU
QUEUES = ["training"]
Add = Callable[[str], Job]


@pytest.fixture
def add(dataset: Dataset) -> Add:
    def add_job(device: str) -> Job:
        new = NewJob(JobKind.TRAINING, "m", dataset.id, {}, {}, queue="training", device=device)
        with write() as session:
            return jobs.create(session, TENANT, new)

    return add_job


def claim(job: Job, kind: DeviceKind) -> Claim | None:
    with write() as session:
        claimed = jobs.claim(session, job.id, "w", kind)
    return claimed[0] if claimed else None


def must_claim(job: Job, kind: DeviceKind) -> Claim:
    claimed = claim(job, kind)
    assert claimed is not None
    return claimed


def claim_next(kind: DeviceKind) -> str | None:
    with write() as session:
        claimed = jobs.claim_next(session, QUEUES, "w", kind)
    return claimed[1].id if claimed else None


def change(action: Callable[[Session], object]) -> None:
    with write() as session:
        action(session)


def make_due(session: Session, job: Job) -> None:
    row = session.get_one(Job, job.id)
    row.available_at = row.created_at


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize(("device", "other"), [("cpu", GPU), ("gpu", CPU)])
def test_only_a_worker_with_the_requested_device_claims_a_job(
    add: Add, device: str, other: DeviceKind, *, by_id: bool
) -> None:
    job = add(device)
    assert (claim(job, other) if by_id else claim_next(other)) is None
    with read() as session:
        assert not jobs.has_due_jobs(session, QUEUES, 0.0, other)
        assert jobs.has_due_jobs(session, QUEUES, 0.0, DeviceKind(device))
    assert claim(job, DeviceKind(device)) if by_id else claim_next(DeviceKind(device)) == job.id


@pytest.mark.parametrize("kind", DeviceKind)
def test_a_worker_skips_jobs_that_it_cannot_run(add: Add, kind: DeviceKind) -> None:
    first, second, either = add("cpu"), add("gpu"), add("auto")
    own = {CPU: first, GPU: second}[kind]
    assert [claim_next(kind) for _ in range(3)] == [own.id, either.id, None]
    assert reload(either).device_kind == kind


def test_a_job_stays_on_its_kind_of_device_once_something_is_saved(add: Add) -> None:
    job = add("auto")
    change(lambda session: jobs.release(session, must_claim_in(session, job, GPU)))
    assert reload(job).device_kind is None
    held = must_claim(job, GPU)
    change(lambda session: jobs.add_checkpoint(session, held, NewCheckpoint(5, {})))
    change(lambda session: jobs.release(session, held))
    assert reload(job).device_kind is GPU
    assert claim(job, CPU) is None
    assert claim(job, GPU) is not None


def must_claim_in(session: Session, job: Job, kind: DeviceKind) -> Claim:
    claimed = jobs.claim(session, job.id, "w", kind)
    assert claimed is not None
    return claimed[0]


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_lost_or_paused_job_keeps_its_kind_only_with_a_checkpoint(
    add: Add, *, has_checkpoint: bool
) -> None:
    lost, paused = add("auto"), add("auto")
    for job in (lost, paused):
        held = must_claim(job, GPU)
        if has_checkpoint:
            change(lambda session: jobs.add_checkpoint(session, held, NewCheckpoint(5, {})))  # noqa: B023
    change(lambda session: expire_lease(session, lost))
    change(jobs.sweep)
    change(lambda session: jobs.confirm_paused(session, held))
    change(lambda session: jobs.resume(session, TENANT, paused.id))
    for job in (lost, paused):
        assert reload(job).device_kind is (GPU if has_checkpoint else None)


def test_an_expired_job_of_another_kind_is_requeued_but_not_claimed(add: Add) -> None:
    job = add("gpu")
    must_claim(job, GPU)
    change(lambda session: expire_lease(session, job))
    assert claim_next(CPU) is None
    assert reload(job).state.value == "queued"
    assert claim_next(GPU) == job.id


def test_only_workers_of_its_kind_help_with_a_generation_job(add: Add) -> None:
    job = add("auto")
    held = must_claim(job, GPU)
    change(lambda session: jobs.create_shards(session, held, count=10, size=5))
    with write() as session:
        assert jobs.claim_any_shard(session, QUEUES, "c", CPU) is None
        assert not jobs.has_idle_shards(session, QUEUES, 0.0, CPU)
        assert jobs.has_idle_shards(session, QUEUES, 0.0, GPU)
        assert jobs.claim_any_shard(session, QUEUES, "g", GPU) is not None
    change(lambda session: jobs.release(session, held))
    assert reload(job).device_kind is GPU  # a helper may still generate a shard


def test_notifications_name_the_kind_of_device(add: Add) -> None:
    expected = {add("cpu").id: CPU, add("gpu").id: GPU, add("auto").id: None}
    with write() as session:
        assert {new.job_id: new.kind for new in jobs.sweep(session)} == expected


def test_a_lost_device_is_not_a_worker_loss_and_has_its_own_limit(
    add: Add, configured: Settings
) -> None:
    job = add("gpu")
    for losses in range(1, configured.max_device_losses):
        held = must_claim(job, GPU)
        change(lambda session: jobs.release_from_lost_device(session, held))  # noqa: B023
        after = reload(job)
        assert (after.state.value, after.device_losses, after.worker_losses) == (
            "queued",
            losses,
            0,
        )
        change(lambda session: make_due(session, job))
    change(lambda session: jobs.release_from_lost_device(session, must_claim_in(session, job, GPU)))
    after = reload(job)
    assert after.state.value == "failed"
    assert after.error is not None
    assert (after.error["code"], after.error["retryable"]) == ("device_lost", True)


def test_a_checkpoint_resets_the_count_of_lost_devices(add: Add) -> None:
    job = add("gpu")
    change(lambda session: jobs.release_from_lost_device(session, must_claim_in(session, job, GPU)))
    held = must_claim(job, GPU)
    change(lambda session: jobs.add_checkpoint(session, held, NewCheckpoint(5, {})))
    assert reload(job).device_losses == 0


def test_a_cancelled_job_on_a_lost_device_ends_as_cancelled(add: Add, configured: Settings) -> None:
    job = add("gpu")
    held = must_claim(job, GPU)

    def cancel_at_the_limit(session: Session) -> None:
        session.get_one(Job, job.id).device_losses = configured.max_device_losses - 1
        jobs.cancel(session, TENANT, job.id)

    change(cancel_at_the_limit)
    change(lambda session: jobs.release_from_lost_device(session, held))
    assert reload(job).state.value == "cancelled"


def test_helpers_that_lose_their_devices_fail_the_shard_at_the_limit(
    add: Add, configured: Settings
) -> None:
    job = add("gpu")
    held = must_claim(job, GPU)
    change(lambda session: jobs.create_shards(session, held, count=5, size=5))
    for _ in range(configured.max_device_losses):
        with write() as session:
            shard = jobs.claim_shard(session, job.id, "helper", GPU)
            assert shard is not None
            jobs.release_shard_from_lost_device(session, shard)
    with read() as session:
        error = jobs.shard_progress(session, job.id).error
    assert error is not None
    assert error["code"] == "device_lost"


def test_a_queued_job_knows_whether_a_worker_has_its_device(add: Add) -> None:
    job, other, either = add("gpu"), add("cpu"), add("auto")

    def has_worker(queued: Job) -> bool:
        with read() as session:
            position = jobs.queue_position(session, queued)
        assert position is not None
        return position.has_worker

    def start(worker: str, device: DeviceReport) -> None:
        with write() as session:
            workers.heartbeats(
                session, {worker: workers.describe(queues=QUEUES, host="h", device=device)}
            )

    assert not has_worker(either)
    start("wkr_1", DeviceReport("cpu", CPU))
    assert [has_worker(each) for each in (job, other, either)] == [False, True, True]
    start("wkr_2", DeviceReport("cuda:0", GPU, error="The GPU vanished."))
    assert not has_worker(job)
    start("wkr_2", DeviceReport("cuda:0", GPU, "H100"))
    assert has_worker(job)
    with read() as session:
        positions = [jobs.queue_position(session, each) for each in (job, other, either)]
        listed = jobs.queue_positions(session, [job, other, either])
    assert [each and each.ahead for each in positions] == [0, 0, 2]
    assert positions == [listed[each.id] for each in (job, other, either)]
