"""What the store of jobs holds to, one test each; the simulation holds it to them all at once."""

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
from core.jobs import Claim, Heartbeat, LeaseLost, NewCheckpoint, StopRequests
from core.settings import Settings
from core.storage import StoredObject, get_storage
from core.tables import Checkpoint, Delivery, Event, Job, JobState, Model, Webhook
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
from worker.lease import JobCancelled, Lease

FILE = StoredObject("t/default/jobs/x/model", 3, "0" * 64)
QUEUES = ["training"]


def claimed(job: Job, owner: str = "one", engine: Engine | None = None) -> Claim:
    with write(engine) as session:
        taken = jobs.claim(session, job.id, owner)
    assert taken is not None
    return taken[0]


def lose(job: Job) -> None:
    with write() as session:
        expire_lease(session, job)
    with write() as session:
        jobs.sweep(session)


def save(taken: Claim, step: int) -> None:
    with write() as session:
        new = NewCheckpoint(step, {"model": FILE}, {"modality": "image"})
        jobs.add_checkpoint(session, taken, new)


def finish(taken: Claim, step: int, engine: Engine | None = None) -> None:
    """As the worker does it: the model's row in the transaction that ends the job."""
    with write(engine) as session:
        job = session.get_one(Job, taken.job_id)
        (checkpoint,) = jobs.checkpoints_of(session, TENANT, taken.job_id)[:1]
        model = model_registry.find_by_checkpoint(session, job, checkpoint)
        model = model or model_registry.create_version(session, job, checkpoint)
        jobs.finish(session, taken, result={"step": step}, model=model)


def count(table: type, job: Job) -> int:
    with read() as session:
        found = select(func.count()).select_from(table).where(table.job_id == job.id)  # type: ignore[attr-defined]
        return session.scalar(found) or 0


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


LATE: dict[str, Callable[[Session, Claim], object]] = {
    "heartbeat": lambda session, taken: jobs.heartbeat(session, taken, Heartbeat("training", 7)),
    "checkpoint": lambda session, taken: jobs.add_checkpoint(
        session, taken, NewCheckpoint(7, {"model": FILE})
    ),
    "forget": lambda session, taken: jobs.drop_checkpoints(session, taken, keep_last=1),
    "preview": lambda session, taken: jobs.add_artifact(
        session, taken, name="previews/7.png", stored=FILE, media_type="image/png", step=7
    ),
    "finish": lambda session, taken: jobs.finish(session, taken, result={}),
    "fail": lambda session, taken: jobs.fail(session, taken, JobError("internal", "x")),
    "cancelled": jobs.confirm_cancelled,
    "aside": jobs.confirm_paused,
    "release": jobs.release,
}


def everything() -> list[tuple[object, ...]]:
    """All rows that a worker may touch."""
    tables = (Job, Event, Checkpoint, Model, Delivery)
    with read() as session:
        return [
            tuple(row)
            for table in tables
            for row in session.execute(select(*table.__table__.columns).order_by(table.id)).all()
        ]


def test_i1_an_acknowledged_job_ends_once_there_is_a_worker_that_lives(add_job: AddJob) -> None:
    """No hint of it was ever sent, and its first worker died."""
    job = add_job()
    claimed(job)
    lose(job)
    with write() as session:
        taken = jobs.claim_next(session, QUEUES, "two")
    assert taken is not None
    save(taken[0], 1)
    finish(taken[0], 1)
    assert reload(job).state is JobState.SUCCEEDED


def test_i2_a_job_is_held_by_one_worker_however_many_ask_at_once(add_job: AddJob) -> None:
    job = add_job()
    start = threading.Barrier(8)

    def ask(owner: int) -> bool:
        start.wait()
        with write() as session:
            return jobs.claim(session, job.id, str(owner)) is not None

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(ask, range(8))) == 1
        with write() as session:  # as if nothing had happened, for the next race
            expire_lease(session, job)
            session.get_one(Job, job.id).worker_losses = 0


@pytest.mark.parametrize("kind", LATE)
def test_i3_a_claim_that_was_lost_changes_nothing(
    add_job: AddJob, webhook: Webhook, kind: str
) -> None:
    job = add_job()
    first = claimed(job, "one")
    save(first, 3)
    lose(job)
    claimed(job, "two")
    before = everything()
    with pytest.raises(LeaseLost), write() as session:
        LATE[kind](session, first)
    assert everything() == before


@pytest.mark.parametrize("kind", LATE)
@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_i4_an_ended_job_never_changes(add_job: AddJob, end: str, kind: str) -> None:
    job = add_job()
    taken = claimed(job)
    save(taken, 3)
    if end == "succeeded":
        finish(taken, 3)
    else:
        with write() as session:
            if end == "failed":
                jobs.fail(session, taken, JobError("internal", "x"))
            else:
                jobs.confirm_cancelled(session, taken)
    before = everything()
    with pytest.raises(LeaseLost), write() as session:
        LATE[kind](session, taken)
    for verb in (jobs.cancel, jobs.pause, jobs.resume):
        with pytest.raises(ActionNotAllowed), write() as session:
            verb(session, TENANT, job.id)
    with write() as session:
        assert jobs.claim(session, job.id, "two") is None
        assert jobs.sweep(session) == []
        jobs.mark_notified(session, [job.id])
    assert everything() == before


def test_i5_a_job_that_succeeds_makes_one_model_and_tells_once_and_no_other_does(
    add_job: AddJob, webhook: Webhook
) -> None:
    good, bad, ended = add_job(), add_job(), add_job()
    for job in (good, bad, ended):
        save(claimed(job), 2)
    holds = {job.id: Claim(TENANT, job.id, 1, "one") for job in (good, bad, ended)}
    finish(holds[good.id], 2)
    with pytest.raises(LeaseLost):
        finish(holds[good.id], 2)
    with write() as session:
        jobs.fail(session, holds[bad.id], JobError("not_learning", "x"))
        jobs.confirm_cancelled(session, holds[ended.id])
    assert [count(Model, job) for job in (good, bad, ended)] == [1, 0, 0]
    assert [count(Delivery, job) for job in (good, bad, ended)] == [1, 1, 1]
    with read() as session:
        assert violations(session, lambda _: True) == []


def test_i6_a_job_that_kills_every_worker_fails_in_a_bounded_number_of_them(
    add_job: AddJob, configured: Settings
) -> None:
    job = add_job()
    for _ in range(configured.max_worker_losses):
        with write() as session:
            row = session.get_one(Job, job.id)
            row.available_at = row.created_at
        claimed(job)
        lose(job)
    after = reload(job)
    assert (after.state, after.attempt) == (JobState.FAILED, configured.max_worker_losses)
    assert after.error is not None
    assert (after.error["code"], after.error["retryable"]) == ("worker_lost", True)


def test_i7_saved_work_is_never_lost_whoever_saves_and_forgets(add_job: AddJob) -> None:
    job = add_job()
    reached = 0
    for worker in range(3):
        taken = claimed(job, str(worker))
        for step in range(reached + 1, reached + 4):
            save(taken, step)
            with write() as session:
                jobs.drop_checkpoints(session, taken, keep_last=1)
            with read() as session:
                assert jobs.checkpoints_of(session, TENANT, job.id)[0].step == step
        reached += 3
        lose(job)
    assert reload(job).step == reached


def test_i8_a_job_that_is_cancelled_while_it_waits_never_starts(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
    with write() as session:
        assert jobs.claim(session, job.id, "one") is None
        assert jobs.claim_next(session, QUEUES, "one") is None


def test_i8_a_job_that_is_cancelled_while_it_runs_hears_of_it_within_a_heartbeat(
    add_job: AddJob, configured: Settings
) -> None:
    claim, heard = claimed(add_job()), list[bool]()

    def heartbeat(session: Session, heartbeat: Heartbeat) -> StopRequests:
        asked = jobs.heartbeat(session, claim, heartbeat)
        heard.append(asked.cancel)
        return asked

    with Lease(claim, configured, heartbeat=heartbeat) as lease:
        with write() as session:
            jobs.cancel(session, TENANT, claim.job_id)
        before = len(heard)
        eventually(lambda: lease.stopping)
        assert isinstance(lease.stopping, JobCancelled)
    assert any(heard[before : before + 2])  # one may have begun before the job was cancelled


def test_i9_a_resumed_training_gives_the_weights_of_an_unbroken_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = (
        create_training_job(client),
        create_training_job(client, checkpoint={"interval_steps": 5}),
    )
    run_training_job(client, whole)
    interrupt_training(client, broken, monkeypatch, at_step=13)
    assert run_training_job(client, broken)["attempt"] == 2
    assert get_model_sha256(broken, 20) == get_model_sha256(whole, 20)


def test_i10_a_checkpoint_that_is_named_is_stored_with_the_bytes_that_were_saved(
    client: TestClient,
) -> None:
    job_id = create_training_job(client, checkpoint={"interval_steps": 4, "keep_last": 2})
    run_training_job(client, job_id)
    for row in list_checkpoints(job_id):
        for file in row.files.values():
            get_storage().read(StoredObject.from_dict(file))


def test_i11_a_hint_that_is_delivered_many_times_changes_nothing_after_the_first(
    add_job: AddJob,
) -> None:
    job = add_job()
    taken = claimed(job)

    def deliver(_: int) -> bool:
        with write() as session:
            return jobs.claim(session, job.id, "again") is not None

    before = everything()
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(deliver, range(32)))
    assert everything() == before
    save(taken, 1)
    finish(taken, 1)
    before = everything()
    assert not any(deliver(i) for i in range(32))
    assert everything() == before


def test_i12_jobs_end_although_no_hint_ever_comes(client: TestClient) -> None:
    waiting = [create_training_job(client, budget={"steps": 2}) for _ in range(2)]
    while run_next(QUEUES):
        pass
    states = [client.get(f"/v1/jobs/{job_id}").json()["state"] for job_id in waiting]
    assert states == ["succeeded", "succeeded"]


@pytest.mark.parametrize("hours", [-1, 1])
def test_i13_a_worker_whose_clock_is_off_has_no_effect_twice(add_job: AddJob, hours: int) -> None:
    """PostgreSQL's clock is the only one there; on SQLite each process brings its own."""
    job = add_job()
    url = get_engine().url.render_as_string(hide_password=False)
    off = make_engine(url, now=lambda: time.time() + 3_600 * hours)
    try:
        right = claimed(job, "right")
        save(right, 1)
        with write(off) as session:
            other = jobs.claim(session, job.id, "off")
        if get_engine().dialect.name == "postgresql":
            assert other is None
        holder, engine = (other[0], off) if other else (right, get_engine())
        finish(holder, 1, engine)
        with pytest.raises(LeaseLost):
            finish(right, 1)
    finally:
        off.dispose()
    assert (reload(job).state, count(Model, job)) == (JobState.SUCCEEDED, 1)


def test_i14_a_request_that_is_sent_twice_creates_one_job(client: TestClient) -> None:
    dataset = create_digits_dataset()
    body = {"kind": "training", "dataset": dataset, "budget": {"steps": 1}}
    key = {"Idempotency-Key": "once"}
    answers = [client.post("/v1/jobs", json=body, headers=key) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(client.get("/v1/jobs").json()["data"]) == 1
