"""One job from claim to end. Opens the transactions; the work itself lies in the handlers."""

import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from core import jobs, registry
from core.database import write
from core.errors import JobError, StorageFull, Unavailable
from core.jobs import LeaseLost
from core.settings import get_settings
from core.storage import DamagedObject
from core.tables import Checkpoint, Job, JobKind
from models import memory
from worker.lease import Cancelled, Drained, Lease, Paused

log = logging.getLogger(__name__)

# The database or the store went away under the job, which goes on later from what is saved.
PASSING = (OperationalError, InterfaceError, Unavailable)

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Handler = Callable[[Job, Lease], Checkpoint]


def owner() -> str:
    """The worker's id, as in the table of workers, and this process."""
    return f"{worker_folder().name}/{socket.gethostname()}:{os.getpid()}"


def worker_folder() -> Path:
    """Where this worker keeps its slot and its drain flag; set by worker.main for its children."""
    settings = get_settings()
    return settings.worker_folder or settings.scratch / "worker"


def run_next(queues: Sequence[str], job_id: str | None = None) -> bool:
    """Claim a job that is due (the given one, if it is) and see it through; False without one."""
    with write() as session:
        taken = jobs.claim(session, job_id, owner()) if job_id is not None else None
        taken = taken or jobs.claim_next(session, queues, owner())
    if taken is None:
        return False
    claim, job = taken
    about = {"job_id": job.id, "attempt": job.attempt, "trace": job.trace}
    log.info("job claimed", extra=about)
    try:
        with Lease(claim, get_settings(), folder=worker_folder()) as lease:
            lease.usage.earlier = dict(job.usage)
            lease.step = job.step
            outcome = _see_through(job, lease)
        log.info("job %s", outcome, extra=about)
    except LeaseLost:
        log.warning("the lease is lost; stopped", extra=about)
    except PASSING as error:  # not even that could be written: the lease runs out
        log.warning("the job is left", extra=about | {"cause": type(error).__name__})
    return True


def _see_through(job: Job, lease: Lease) -> str:
    try:
        checkpoint = HANDLERS[job.kind]()(job, lease)
        lease.phase = "finalizing"
        lease.flush()
        _finish(job, lease, checkpoint)
    except LeaseLost:
        raise
    except Cancelled:
        with write() as session:
            jobs.confirm_cancelled(session, lease.claim)
        return "cancelled"
    except Paused:
        with write() as session:
            jobs.set_aside(session, lease.claim)
        return "paused"
    except Drained:
        with write() as session:
            jobs.release(session, lease.claim)
        return "released"
    except PASSING as error:
        log.warning("interrupted", extra={"job_id": job.id, "cause": type(error).__name__})
        with write() as session:
            jobs.abandon(session, lease.claim)
        return "interrupted"
    except Exception as error:
        failure = as_job_error(error)
        if failure.code == "internal":
            log.exception("job failed", extra={"job_id": job.id})
        with write() as session:
            jobs.fail(session, lease.claim, failure)
        return f"failed: {failure.code}"
    return "succeeded"


def _finish(job: Job, lease: Lease, checkpoint: Checkpoint) -> None:
    for attempt in range(5):
        try:
            with write() as session:
                model = registry.of_checkpoint(session, job, checkpoint)  # if it was promoted
                model = model or registry.new_version(session, job, checkpoint)
                jobs.finish(session, lease.claim, result={"step": checkpoint.step}, model=model)
        except IntegrityError:  # another job has just made the same version of the name
            if attempt == 4:
                raise
        else:
            return


def as_job_error(error: Exception) -> JobError:
    """The reason in the customer's words; what is not foreseen says nothing of its text."""
    if isinstance(error, JobError):
        return error
    if isinstance(error, DamagedObject):
        return JobError("dataset_unreadable", f"{error}; upload the dataset again")
    if isinstance(error, StorageFull) or (isinstance(error, OSError) and error.errno in NO_ROOM):
        return JobError("disk_full", "no room was left to save the training's state")
    if memory.is_exhausted(error):
        return JobError("out_of_memory", "the training did not fit into memory")
    return JobError("internal", "something went wrong in the worker; its log says what")


def _training() -> Handler:
    from worker.training import train  # torch is imported only when there is something to train

    return train


HANDLERS: dict[JobKind, Callable[[], Handler]] = {JobKind.TRAINING: _training}
