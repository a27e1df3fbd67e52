"""Claiming, losing and ending jobs, against a real database."""

import time

import pytest

from core import jobs
from core.database import read, write
from core.errors import JobError
from core.jobs import Claim, Heartbeat, LeaseLost, NewCheckpoint, NewEvent
from core.settings import Settings
from core.storage import StoredObject
from core.tables import Checkpoint, Job, JobState
from tests.conftest import TENANT, AddJob, expire_lease, reload

FILE = StoredObject("t/default/jobs/x/model", 3, "0" * 64)


def claim(job: Job, owner: str = "one") -> Claim | None:
    with write() as session:
        taken = jobs.claim(session, job.id, owner)
    return taken and taken[0]


def claimed(job: Job, owner: str = "one") -> Claim:
    taken = claim(job, owner)
    assert taken is not None
    return taken


def test_a_job_is_claimed_once(add_job: AddJob) -> None:
    job = add_job()
    assert claim(job, "one") is not None
    assert claim(job, "two") is None


def test_a_job_whose_worker_went_silent_is_claimed_again_with_a_higher_token(
    add_job: AddJob,
) -> None:
    job = add_job()
    first = claimed(job, "one")
    with write() as session:
        expire_lease(session, job)
    second = claimed(job, "two")
    assert second.fencing_token > first.fencing_token
    assert reload(job).attempt == 2


def test_a_worker_that_was_given_up_changes_nothing(add_job: AddJob) -> None:
    job = add_job()
    first = claimed(job, "one")
    with write() as session:
        expire_lease(session, job)
    claimed(job, "two")
    before = reload(job)
    attempts = [
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
    for attempt in attempts:
        with pytest.raises(LeaseLost), write() as session:
            attempt(session)
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


def test_an_expired_lease_refuses_writes_even_when_nobody_took_the_job(add_job: AddJob) -> None:
    job = add_job()
    taken = claimed(job)
    with write() as session:
        expire_lease(session, job)
    with pytest.raises(LeaseLost), write() as session:
        jobs.finish(session, taken, result={})
    assert reload(job).state is JobState.RUNNING


def test_a_heartbeat_renews_the_lease_and_stores_what_happened(
    add_job: AddJob, configured: Settings
) -> None:
    job = add_job()
    taken = claimed(job)
    before = reload(job)
    time.sleep(0.01)
    with write() as session:
        orders = jobs.heartbeat(
            session,
            taken,
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
    assert not orders.cancel
    assert after.lease_until is not None
    assert before.lease_until is not None
    assert after.lease_until > before.lease_until
    assert (after.step, after.phase, after.progress) == (12, "training", {"percent": 3.0})
    with read() as session:
        types = [e.type for e in jobs.page_of_events(session, TENANT, job.id, after=0, limit=10)]
    assert types == ["state", "state", "log"]


def test_a_cancelled_running_job_hears_of_it_at_its_next_heartbeat(add_job: AddJob) -> None:
    job = add_job()
    taken = claimed(job)
    with write() as session:
        assert jobs.shown_state(jobs.cancel(session, TENANT, job.id)) == "cancelling"
    with write() as session:
        assert jobs.heartbeat(session, taken, Heartbeat("training")).cancel
        jobs.confirm_cancelled(session, taken)
    assert reload(job).state is JobState.CANCELLED


def test_a_job_that_finishes_while_cancelling_has_succeeded(add_job: AddJob) -> None:
    job = add_job()
    taken = claimed(job)
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
    with write() as session:
        jobs.finish(session, taken, result={"step": 5})
    assert jobs.shown_state(reload(job)) == "succeeded"


def test_a_drained_job_waits_again_and_this_is_no_loss(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        pass
    taken = claimed(job)
    with write() as session:
        jobs.release(session, taken)
    after = reload(job)
    assert (after.state, after.worker_losses, after.notified_at) == (JobState.QUEUED, 0, None)
    assert claim(job, "two") is not None


def test_a_job_that_was_cancelled_while_its_worker_drained_ends(add_job: AddJob) -> None:
    job = add_job()
    taken = claimed(job)
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
    with write() as session:
        jobs.release(session, taken)
    assert reload(job).state is JobState.CANCELLED


def test_a_job_that_was_cancelled_while_it_was_set_aside_ends(add_job: AddJob) -> None:
    job = add_job()
    taken = claimed(job)
    with write() as session:
        jobs.pause(session, TENANT, job.id)
    with write() as session:
        jobs.cancel(session, TENANT, job.id)
    with write() as session:
        jobs.confirm_paused(session, taken)
    assert reload(job).state is JobState.CANCELLED


def test_a_job_that_was_paused_while_its_worker_drained_waits_until_it_is_resumed(
    add_job: AddJob,
) -> None:
    job = add_job()
    taken = claimed(job)
    with write() as session:
        jobs.pause(session, TENANT, job.id)
    with write() as session:
        jobs.release(session, taken)
    after = reload(job)
    assert (after.state, after.pause_requested) == (JobState.PAUSED, False)


def test_a_job_that_is_abandoned_waits_again_and_this_is_a_loss(add_job: AddJob) -> None:
    job = add_job()
    taken = claimed(job)
    with write() as session:
        jobs.release_as_lost(session, taken)
    after = reload(job)
    assert (after.state, after.worker_losses, after.owner) == (JobState.QUEUED, 1, None)
    with pytest.raises(LeaseLost), write() as session:
        jobs.release_as_lost(session, taken)


def test_jobs_are_taken_in_the_order_in_which_they_came(add_job: AddJob) -> None:
    waiting = [add_job() for _ in range(3)]
    order = []
    with write() as session:
        while (taken := jobs.claim_next(session, ["training"], "one")) is not None:
            order.append(taken[1].id)
    assert order == [job.id for job in waiting]


def test_a_worker_of_another_queue_takes_nothing(add_job: AddJob) -> None:
    add_job()
    with write() as session:
        assert jobs.claim_next(session, ["generation"], "one") is None


def test_checkpoints_beyond_those_to_keep_are_forgotten(add_job: AddJob) -> None:
    job = add_job()
    taken = claimed(job)
    dropped: list[str] = []
    for step in range(1, 6):
        file = StoredObject(f"t/default/jobs/x/{step}", 1, "0" * 64)
        with write() as session:
            jobs.add_checkpoint(session, taken, NewCheckpoint(step, {"model": file}))
            dropped += jobs.drop_checkpoints(session, taken, keep_last=2)
    with read() as session:
        kept = [c.step for c in jobs.checkpoints_of(session, TENANT, job.id)]
    assert kept == [5, 4]
    assert dropped == [f"t/default/jobs/x/{step}" for step in (1, 2, 3)]


def test_a_checkpoint_is_recorded_with_its_files(add_job: AddJob) -> None:
    job = add_job()
    taken = claimed(job)
    with write() as session:
        jobs.add_checkpoint(session, taken, NewCheckpoint(9, {"state": FILE}))
    with read() as session:
        rows: list[Checkpoint] = jobs.checkpoints_of(session, TENANT, job.id)
    assert [(row.step, row.fencing_token, row.files["state"]["key"]) for row in rows] == [
        (9, taken.fencing_token, FILE.key)
    ]
