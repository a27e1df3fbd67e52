"""Invariants of the job store, one test for each; the simulation checks all of them at once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from core import jobs, model_registry
from core.database import get_engine, make_engine, read, write
from core.errors import ActionNotAllowed, JobError
from core.jobs import Claim, Heartbeat, NewCheckpoint, StopRequests
from core.leases import LeaseLost
from core.settings import Settings
from core.storage import StoredObject, get_storage
from core.tables import Checkpoint, Delivery, Event, Job, JobState, Model, Webhook
from job_kinds.lease import JobCancelled, Lease
from tests.conftest import TENANT, AddJob, expire_lease, reload
from tests.factories import create_digits_dataset
from tests.job_invariants import violations
from tests.job_runs import (
    create_training_job,
    get_model_sha256,
    interrupt_training,
    list_checkpoints,
    run_training_job,
)
from tests.processes import eventually
from worker.job_runner import run_next

FILE = StoredObject("t/default/jobs/x/model", 3, "0" * 64)
QUEUES = ["training"]


def claim_job(job: Job, owner: str = "one", engine: Engine | None = None) -> Claim:
    with write(engine) as session:
        claim_and_job = jobs.claim(session, job.id, owner)
    assert claim_and_job is not None
    return claim_and_job[0]


def lose_worker(job: Job) -> None:
    with write() as session:
        expire_lease(session, job)
    with write() as session:
        jobs.sweep(session)


def save_checkpoint(claim: Claim, step: int) -> None:
    with write() as session:
        new = NewCheckpoint(step, {"model": FILE}, {"modality": "image"})
        jobs.add_checkpoint(session, claim, new)


def finish_job(claim: Claim, step: int, engine: Engine | None = None) -> None:
    """Add the model in the transaction that ends the job, as the worker does."""
    with write(engine) as session:
        job = session.get_one(Job, claim.job_id)
        (checkpoint,) = jobs.checkpoints_of(session, TENANT, claim.job_id)[:1]
        model = model_registry.find_by_checkpoint(session, job, checkpoint)
        model = model or model_registry.create_version(session, job, checkpoint)
        jobs.finish(session, claim, result={"step": step}, model=model)


def count_rows(table: type, job: Job) -> int:
    with read() as session:
        query = select(func.count()).select_from(table).where(table.job_id == job.id)  # type: ignore[attr-defined]
        return session.scalar(query) or 0


@pytest.fixture
def webhook(configured: Settings) -> Webhook:
    with write() as session:
        row = Webhook(
            id="wh_1",
            tenant_id=TENANT,
            url="https://example.com",
            events=["job.succeeded", "job.failed", "job.cancelled"],
            secret="s",  # noqa: S106
        )
        session.add(row)
    return row


LATE_WRITES: dict[str, Callable[[Session, Claim], object]] = {
    "heartbeat": lambda session, claim: jobs.heartbeat(session, claim, Heartbeat("training", 7)),
    "add_checkpoint": lambda session, claim: jobs.add_checkpoint(
        session, claim, NewCheckpoint(7, {"model": FILE})
    ),
    "drop_checkpoints": lambda session, claim: jobs.drop_checkpoints(session, claim, keep_last=1),
    "add_artifact": lambda session, claim: jobs.add_artifact(
        session, claim, name="previews/7.png", stored=FILE, media_type="image/png", step=7
    ),
    "finish": lambda session, claim: jobs.finish(session, claim, result={}),
    "fail": lambda session, claim: jobs.fail(session, claim, JobError("internal", "x")),
    "confirm_cancelled": jobs.confirm_cancelled,
    "confirm_paused": jobs.confirm_paused,
    "release": jobs.release,
}


def read_worker_rows() -> list[tuple[object, ...]]:
    """Return all rows that a worker may change."""
    tables = (Job, Event, Checkpoint, Model, Delivery)
    with read() as session:
        return [
            tuple(row)
            for table in tables
            for row in session.execute(select(*table.__table__.columns).order_by(table.id)).all()
        ]


def test_i1_an_acknowledged_job_ends_if_a_worker_is_alive(add_job: AddJob) -> None:
    """No notification was sent for the job, and its first worker is lost."""
    job = add_job()
    claim_job(job)
    lose_worker(job)
    with write() as session:
        claim_and_job = jobs.claim_next(session, QUEUES, "two")
    assert claim_and_job is not None
    save_checkpoint(claim_and_job[0], 1)
    finish_job(claim_and_job[0], 1)
    assert reload(job).state is JobState.SUCCEEDED


def test_i2_one_of_eight_concurrent_claims_succeeds(add_job: AddJob) -> None:
    job = add_job()
    start = threading.Barrier(8)

    def try_claim(owner: int) -> bool:
        start.wait()
        with write() as session:
            return jobs.claim(session, job.id, str(owner)) is not None

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(try_claim, range(8))) == 1
        with write() as session:  # reset the job for the next race
            expire_lease(session, job)
            session.get_one(Job, job.id).worker_losses = 0


@pytest.mark.parametrize("write_name", LATE_WRITES)
def test_i3_a_lost_claim_changes_nothing(
    add_job: AddJob, webhook: Webhook, write_name: str
) -> None:
    job = add_job()
    first = claim_job(job, "one")
    save_checkpoint(first, 3)
    lose_worker(job)
    claim_job(job, "two")
    before = read_worker_rows()
    with pytest.raises(LeaseLost), write() as session:
        LATE_WRITES[write_name](session, first)
    assert read_worker_rows() == before


@pytest.mark.parametrize("write_name", LATE_WRITES)
@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_i4_an_ended_job_never_changes(add_job: AddJob, end: str, write_name: str) -> None:
    job = add_job()
    claim = claim_job(job)
    save_checkpoint(claim, 3)
    if end == "succeeded":
        finish_job(claim, 3)
    else:
        with write() as session:
            if end == "failed":
                jobs.fail(session, claim, JobError("internal", "x"))
            else:
                jobs.confirm_cancelled(session, claim)
    before = read_worker_rows()
    with pytest.raises(LeaseLost), write() as session:
        LATE_WRITES[write_name](session, claim)
    for action in (jobs.cancel, jobs.pause, jobs.resume):
        with pytest.raises(ActionNotAllowed), write() as session:
            action(session, TENANT, job.id)
    with write() as session:
        assert jobs.claim(session, job.id, "two") is None
        assert jobs.sweep(session) == []
        jobs.mark_notified(session, [job.id])
    assert read_worker_rows() == before


def test_i5_only_a_successful_job_creates_a_model_and_each_end_is_reported_once(
    add_job: AddJob, webhook: Webhook
) -> None:
    succeeded, failed, cancelled = add_job(), add_job(), add_job()
    for job in (succeeded, failed, cancelled):
        save_checkpoint(claim_job(job), 2)
    claims = {job.id: Claim(TENANT, job.id, 1, "one") for job in (succeeded, failed, cancelled)}
    finish_job(claims[succeeded.id], 2)
    with pytest.raises(LeaseLost):
        finish_job(claims[succeeded.id], 2)
    with write() as session:
        jobs.fail(session, claims[failed.id], JobError("not_learning", "x"))
        jobs.confirm_cancelled(session, claims[cancelled.id])
    assert [count_rows(Model, job) for job in (succeeded, failed, cancelled)] == [1, 0, 0]
    assert [count_rows(Delivery, job) for job in (succeeded, failed, cancelled)] == [1, 1, 1]
    with read() as session:
        assert violations(session, lambda _: True) == []


def test_i6_a_job_that_kills_every_worker_fails_after_max_worker_losses(
    add_job: AddJob, configured: Settings
) -> None:
    job = add_job()
    for _ in range(configured.max_worker_losses):
        with write() as session:
            row = session.get_one(Job, job.id)
            row.available_at = row.created_at
        claim_job(job)
        lose_worker(job)
    after = reload(job)
    assert (after.state, after.fencing_token) == (JobState.FAILED, configured.max_worker_losses)
    assert after.error is not None
    assert (after.error["code"], after.error["retryable"]) == ("worker_lost", True)


def test_i7_the_newest_checkpoint_survives_drops_and_lost_workers(add_job: AddJob) -> None:
    job = add_job()
    saved_step = 0
    for worker in range(3):
        claim = claim_job(job, str(worker))
        for step in range(saved_step + 1, saved_step + 4):
            save_checkpoint(claim, step)
            with write() as session:
                jobs.drop_checkpoints(session, claim, keep_last=1)
            with read() as session:
                assert jobs.checkpoints_of(session, TENANT, job.id)[0].step == step
        saved_step += 3
        lose_worker(job)
    assert reload(job).step == saved_step


def test_i8_a_job_that_is_cancelled_while_queued_never_starts(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
    with write() as session:
        assert jobs.claim(session, job.id, "one") is None
        assert jobs.claim_next(session, QUEUES, "one") is None


def test_i8_the_next_heartbeat_of_a_running_job_returns_the_cancel_request(
    add_job: AddJob, configured: Settings
) -> None:
    claim, cancel_flags = claim_job(add_job()), list[bool]()

    def heartbeat(session: Session, heartbeat: Heartbeat) -> StopRequests:
        stop_requests = jobs.heartbeat(session, claim, heartbeat)
        cancel_flags.append(stop_requests.cancel)
        return stop_requests

    with Lease(claim, configured, heartbeat=heartbeat) as lease:
        with write() as session:
            jobs.cancel(session, TENANT, claim.job_id)
        before = len(cancel_flags)
        eventually(lambda: lease.stopping)
        assert isinstance(lease.stopping, JobCancelled)
    assert any(
        cancel_flags[before : before + 2]
    )  # one may have started before the job was cancelled


def test_i9_a_resumed_training_gives_the_weights_of_an_uninterrupted_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted, interrupted = (
        create_training_job(client),
        create_training_job(client, checkpoint={"interval_steps": 5}),
    )
    run_training_job(client, uninterrupted)
    interrupt_training(client, interrupted, monkeypatch, at_step=13)
    assert run_training_job(client, interrupted)["attempt"] == 2
    assert get_model_sha256(interrupted, 20) == get_model_sha256(uninterrupted, 20)


def test_i10_the_files_of_every_recorded_checkpoint_are_stored_intact(
    client: TestClient,
) -> None:
    job_id = create_training_job(client, checkpoint={"interval_steps": 4, "keep_last": 2})
    run_training_job(client, job_id)
    for row in list_checkpoints(job_id):
        for file in row.files.values():
            get_storage().read(StoredObject.from_dict(file))


def test_i11_a_repeated_notification_changes_nothing(
    add_job: AddJob,
) -> None:
    job = add_job()
    claim = claim_job(job)

    def deliver(_: int) -> bool:
        with write() as session:
            return jobs.claim(session, job.id, "second") is not None

    before = read_worker_rows()
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(deliver, range(32)))
    assert read_worker_rows() == before
    save_checkpoint(claim, 1)
    finish_job(claim, 1)
    before = read_worker_rows()
    assert not any(deliver(i) for i in range(32))
    assert read_worker_rows() == before


def test_i12_jobs_end_without_any_notification(client: TestClient) -> None:
    waiting = [create_training_job(client, budget={"steps": 2}) for _ in range(2)]
    while run_next(QUEUES):
        pass
    states = [client.get(f"/v1/jobs/{job_id}").json()["state"] for job_id in waiting]
    assert states == ["succeeded", "succeeded"]


@pytest.mark.parametrize("hours", [-1, 1])
def test_i13_a_worker_with_a_wrong_clock_has_no_effect_twice(add_job: AddJob, hours: int) -> None:
    """PostgreSQL uses the clock of its server; on SQLite each process uses its own."""
    job = add_job()
    url = get_engine().url.render_as_string(hide_password=False)
    wrong_clock_engine = make_engine(url, now=lambda: time.time() + 3_600 * hours)
    try:
        first = claim_job(job, "first")
        save_checkpoint(first, 1)
        with write(wrong_clock_engine) as session:
            other = jobs.claim(session, job.id, "wrong clock")
        if get_engine().dialect.name == "postgresql":
            assert other is None
        holder, engine = (other[0], wrong_clock_engine) if other else (first, get_engine())
        finish_job(holder, 1, engine)
        with pytest.raises(LeaseLost):
            finish_job(first, 1)
    finally:
        wrong_clock_engine.dispose()
    assert (reload(job).state, count_rows(Model, job)) == (JobState.SUCCEEDED, 1)


def test_i14_a_repeated_request_creates_one_job(client: TestClient) -> None:
    dataset = create_digits_dataset()
    body = {"kind": "training", "dataset": dataset, "budget": {"steps": 1}}
    key = {"Idempotency-Key": "once"}
    responses = [client.post("/v1/jobs", json=body, headers=key) for _ in range(3)]
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert len(client.get("/v1/jobs").json()["data"]) == 1
