"""Recovery of abandoned jobs by the sweeper."""

from core import jobs
from core.database import write
from core.settings import Settings
from core.storage import StoredObject
from core.tables import JobState
from tests.conftest import TENANT, AddJob, expire_lease, reload


def sweep() -> list[str]:
    with write() as session:
        return [notification.job_id for notification in jobs.sweep(session)]


def lose_worker(job, times: int = 1) -> None:  # type: ignore[no-untyped-def]
    for _ in range(times):
        with write() as session:
            session.get_one(type(job), job.id).available_at = job.created_at
        with write() as session:
            assert jobs.claim(session, job.id, "doomed") is not None
        with write() as session:
            expire_lease(session, job)
        sweep()


def test_the_sweep_returns_jobs_that_were_never_notified(add_job: AddJob) -> None:
    job = add_job()
    assert sweep() == [job.id]
    with write() as session:
        jobs.mark_notified(session, [job.id])
    assert sweep() == []


def test_an_expired_lease_is_a_worker_loss_and_the_job_is_notified_again(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        jobs.mark_notified(session, [job.id])
        jobs.claim(session, job.id, "one")
        expire_lease(session, job)
    assert sweep() == [job.id]
    after = reload(job)
    assert (after.state, after.worker_losses, after.owner) == (JobState.QUEUED, 1, None)


def test_the_sweep_does_not_change_a_job_with_a_valid_lease(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        jobs.claim(session, job.id, "one")
    assert sweep() == []
    assert reload(job).state is JobState.RUNNING


def test_a_job_that_kills_every_worker_fails_with_worker_lost(
    add_job: AddJob, configured: Settings
) -> None:
    job = add_job()
    lose_worker(job, configured.max_worker_losses)
    after = reload(job)
    assert after.state is JobState.FAILED
    assert after.error is not None
    assert after.error["code"] == "worker_lost"
    with write() as session:
        assert jobs.claim(session, job.id, "next") is None


def test_a_checkpoint_resets_the_count_of_worker_losses(
    add_job: AddJob, configured: Settings
) -> None:
    job = add_job()
    lose_worker(job, configured.max_worker_losses - 1)
    with write() as session:
        session.get_one(type(job), job.id).available_at = job.created_at
    with write() as session:
        claim_and_job = jobs.claim(session, job.id, "saves")
        assert claim_and_job is not None
        file = StoredObject("t/default/jobs/x/1", 1, "0" * 64)
        jobs.add_checkpoint(session, claim_and_job[0], jobs.NewCheckpoint(1, {"model": file}))
        expire_lease(session, job)
    sweep()
    assert (reload(job).state, reload(job).worker_losses) == (JobState.QUEUED, 1)


def test_a_job_waits_after_its_second_worker_loss(add_job: AddJob) -> None:
    job = add_job()
    lose_worker(job, 2)
    with write() as session:
        assert jobs.claim(session, job.id, "eager") is None


def test_a_cancelled_job_whose_worker_is_lost_ends_as_cancelled(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        jobs.claim(session, job.id, "one")
        jobs.cancel(session, TENANT, job.id)
        expire_lease(session, job)
    sweep()
    assert reload(job).state is JobState.CANCELLED
