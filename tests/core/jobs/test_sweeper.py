"""What the sweeper does with jobs that nobody looks after."""

from core import jobs
from core.database import write
from core.settings import Settings
from core.storage import StoredObject
from core.tables import JobState
from tests.conftest import TENANT, AddJob, expire_lease, reload


def sweep() -> list[str]:
    with write() as session:
        return [hint.job_id for hint in jobs.sweep(session)]


def lose(job, times: int = 1) -> None:  # type: ignore[no-untyped-def]
    for _ in range(times):
        with write() as session:
            session.get_one(type(job), job.id).available_at = job.created_at
        with write() as session:
            assert jobs.claim(session, job.id, "doomed") is not None
        with write() as session:
            expire_lease(session, job)
        sweep()


def test_a_job_that_never_reached_the_broker_is_published(add_job: AddJob) -> None:
    job = add_job()
    assert sweep() == [job.id]
    with write() as session:
        jobs.mark_notified(session, [job.id])
    assert sweep() == []


def test_a_silent_worker_loses_its_job_and_a_hint_is_sent_again(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        jobs.mark_notified(session, [job.id])
        jobs.claim(session, job.id, "one")
        expire_lease(session, job)
    assert sweep() == [job.id]
    after = reload(job)
    assert (after.state, after.worker_losses, after.owner) == (JobState.QUEUED, 1, None)


def test_a_live_lease_is_left_alone(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        jobs.claim(session, job.id, "one")
    assert sweep() == []
    assert reload(job).state is JobState.RUNNING


def test_a_job_that_always_kills_its_worker_fails_with_a_reason(
    add_job: AddJob, configured: Settings
) -> None:
    job = add_job()
    lose(job, configured.max_worker_losses)
    after = reload(job)
    assert after.state is JobState.FAILED
    assert after.error is not None
    assert after.error["code"] == "worker_lost"
    with write() as session:
        assert jobs.claim(session, job.id, "next") is None


def test_a_checkpoint_between_losses_starts_the_count_again(
    add_job: AddJob, configured: Settings
) -> None:
    job = add_job()
    lose(job, configured.max_worker_losses - 1)
    with write() as session:
        session.get_one(type(job), job.id).available_at = job.created_at
    with write() as session:
        taken = jobs.claim(session, job.id, "saves")
        assert taken is not None
        file = StoredObject("t/default/jobs/x/1", 1, "0" * 64)
        jobs.add_checkpoint(session, taken[0], jobs.NewCheckpoint(1, {"model": file}))
        expire_lease(session, job)
    sweep()
    assert (reload(job).state, reload(job).worker_losses) == (JobState.QUEUED, 1)


def test_the_second_loss_waits_before_it_is_tried_again(add_job: AddJob) -> None:
    job = add_job()
    lose(job, 2)
    with write() as session:
        assert jobs.claim(session, job.id, "eager") is None


def test_an_orphan_that_was_cancelled_ends_as_cancelled(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        jobs.claim(session, job.id, "one")
        jobs.cancel(session, TENANT, job.id)
        expire_lease(session, job)
    sweep()
    assert reload(job).state is JobState.CANCELLED
