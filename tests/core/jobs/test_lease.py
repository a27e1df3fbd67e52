"""Claims, leases and ends of jobs on a real database."""

import time

import pytest

from core import jobs
from core.database import read, write
from core.errors import JobError
from core.jobs import Claim, Heartbeat, NewCheckpoint, NewEvent
from core.leases import LeaseLost
from core.settings import Settings
from core.storage import StoredObject
from core.tables import Checkpoint, Job, JobState
from tests.conftest import TENANT, AddJob, expire_lease, reload

FILE = StoredObject("t/default/jobs/x/model", 3, "0" * 64)


def try_claim(job: Job, owner: str = "one") -> Claim | None:
    with write() as session:
        claim_and_job = jobs.claim(session, job.id, owner)
    return claim_and_job and claim_and_job[0]


def claim_job(job: Job, owner: str = "one") -> Claim:
    claim = try_claim(job, owner)
    assert claim is not None
    return claim


def test_a_job_is_claimed_once(add_job: AddJob) -> None:
    job = add_job()
    assert try_claim(job, "one") is not None
    assert try_claim(job, "two") is None


def test_a_job_with_an_expired_lease_is_claimed_with_a_higher_fencing_token(
    add_job: AddJob,
) -> None:
    job = add_job()
    first = claim_job(job, "one")
    with write() as session:
        expire_lease(session, job)
    second = claim_job(job, "two")
    assert second.fencing_token > first.fencing_token
    assert reload(job).fencing_token == 2


def test_a_lost_worker_changes_nothing(add_job: AddJob) -> None:
    job = add_job()
    first = claim_job(job, "one")
    with write() as session:
        expire_lease(session, job)
    claim_job(job, "two")
    before = reload(job)
    writes = [
        lambda session: jobs.heartbeat(session, first, Heartbeat("training", 7)),
        lambda session: jobs.add_checkpoint(session, first, NewCheckpoint(7, {"model": FILE})),
        lambda session: jobs.add_artifact(
            session, first, name="previews/7.png", stored=FILE, media_type="image/png", step=7
        ),
        lambda session: jobs.finish(session, first, result={}),
        lambda session: jobs.fail(session, first, JobError("internal", "x")),
        lambda session: jobs.confirm_cancelled(session, first),
        lambda session: jobs.release(session, first),
    ]
    for write_late in writes:
        with pytest.raises(LeaseLost), write() as session:
            write_late(session)
    after = reload(job)
    assert (after.state, after.step, after.fencing_token, after.version) == (
        before.state,
        before.step,
        before.fencing_token,
        before.version,
    )
    with read() as session:
        assert jobs.checkpoints_of(session, TENANT, job.id) == []
        assert jobs.artifacts_of(session, TENANT, job.id) == []


def test_writes_under_an_expired_lease_are_rejected_before_another_claim(add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job)
    with write() as session:
        expire_lease(session, job)
    with pytest.raises(LeaseLost), write() as session:
        jobs.finish(session, claim, result={})
    assert reload(job).state is JobState.RUNNING


def test_a_heartbeat_renews_the_lease_and_stores_progress_and_events(
    add_job: AddJob, configured: Settings
) -> None:
    job = add_job()
    claim = claim_job(job)
    before = reload(job)
    time.sleep(0.01)
    with write() as session:
        stop_requests = jobs.heartbeat(
            session,
            claim,
            Heartbeat(
                "training",
                12,
                60.0,
                {"percent": 3.0},
                {"cpu_s": 1.0},
                [NewEvent("log", {"x": 1}, 12)],
            ),
        )
    after = reload(job)
    assert not stop_requests.cancel
    assert after.lease_until is not None
    assert before.lease_until is not None
    assert after.lease_until > before.lease_until
    assert (after.step, after.phase, after.progress) == (12, "training", {"percent": 3.0})
    with read() as session:
        types = [e.type for e in jobs.page_of_events(session, TENANT, job.id, after=0, limit=10)]
    assert types == ["state", "state", "log"]


def test_the_next_heartbeat_of_a_cancelled_job_returns_the_cancel_request(add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job)
    with write() as session:
        assert jobs.shown_state(jobs.cancel(session, TENANT, job.id)) == "cancelling"
    with write() as session:
        assert jobs.heartbeat(session, claim, Heartbeat("training")).cancel
        jobs.confirm_cancelled(session, claim)
    assert reload(job).state is JobState.CANCELLED


def test_a_job_that_finishes_while_cancelling_has_succeeded(add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job)
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
    with write() as session:
        jobs.finish(session, claim, result={"step": 5})
    assert jobs.shown_state(reload(job)) == "succeeded"


def test_a_released_job_is_queued_without_a_worker_loss(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        pass
    claim = claim_job(job)
    with write() as session:
        jobs.release(session, claim)
    after = reload(job)
    assert (after.state, after.worker_losses, after.notified_at) == (JobState.QUEUED, 0, None)
    assert try_claim(job, "two") is not None


def test_a_job_that_was_cancelled_before_its_release_ends_as_cancelled(add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job)
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
    with write() as session:
        jobs.release(session, claim)
    assert reload(job).state is JobState.CANCELLED


def test_a_job_that_was_cancelled_while_pausing_ends_as_cancelled(add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job)
    with write() as session:
        jobs.pause(session, TENANT, job.id)
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
    with write() as session:
        jobs.confirm_paused(session, claim)
    assert reload(job).state is JobState.CANCELLED


def test_a_job_that_was_paused_before_its_release_becomes_paused(
    add_job: AddJob,
) -> None:
    job = add_job()
    claim = claim_job(job)
    with write() as session:
        jobs.pause(session, TENANT, job.id)
    with write() as session:
        jobs.release(session, claim)
    after = reload(job)
    assert (after.state, after.pause_requested) == (JobState.PAUSED, False)


def test_release_as_lost_queues_the_job_and_counts_a_worker_loss(add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job)
    with write() as session:
        jobs.release_as_lost(session, claim)
    after = reload(job)
    assert (after.state, after.worker_losses, after.owner) == (JobState.QUEUED, 1, None)
    with pytest.raises(LeaseLost), write() as session:
        jobs.release_as_lost(session, claim)


def test_jobs_are_claimed_in_the_order_of_their_creation(add_job: AddJob) -> None:
    waiting = [add_job() for _ in range(3)]
    claimed_ids = []
    with write() as session:
        while (claim_and_job := jobs.claim_next(session, ["training"], "one")) is not None:
            claimed_ids.append(claim_and_job[1].id)
    assert claimed_ids == [job.id for job in waiting]


def test_a_worker_of_another_queue_claims_nothing(add_job: AddJob) -> None:
    add_job()
    with write() as session:
        assert jobs.claim_next(session, ["generation"], "one") is None


def test_checkpoints_beyond_keep_last_are_dropped(add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job)
    dropped: list[str] = []
    for step in range(1, 6):
        file = StoredObject(f"t/default/jobs/x/{step}", 1, "0" * 64)
        with write() as session:
            jobs.add_checkpoint(session, claim, NewCheckpoint(step, {"model": file}))
            dropped += jobs.drop_checkpoints(session, claim, keep_last=2)
    with read() as session:
        steps = [c.step for c in jobs.checkpoints_of(session, TENANT, job.id)]
    assert steps == [5, 4]
    assert dropped == [f"t/default/jobs/x/{step}" for step in (1, 2, 3)]


def test_a_checkpoint_is_recorded_with_its_files(add_job: AddJob) -> None:
    job = add_job()
    claim = claim_job(job)
    with write() as session:
        jobs.add_checkpoint(session, claim, NewCheckpoint(9, {"state": FILE}))
    with read() as session:
        rows: list[Checkpoint] = jobs.checkpoints_of(session, TENANT, job.id)
    assert [(row.step, row.fencing_token, row.files["state"]["key"]) for row in rows] == [
        (9, claim.fencing_token, FILE.key)
    ]
