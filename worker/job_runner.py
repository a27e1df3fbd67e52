"""Execution of one job from claim to end: transactions and errors around the handlers."""

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import job_kinds
from core import jobs, tracing
from core.database import read, transact, write
from core.devices import DeviceKind
from core.jobs import Claim, Heartbeat, ShardClaim, StopRequests
from core.leases import LeaseLost
from core.settings import get_settings
from core.tables import Job
from job_kinds import process_device
from job_kinds.base import Finish
from job_kinds.generation.current_shard import CurrentShard
from job_kinds.job_errors import TRANSIENT_ERRORS, as_job_error
from job_kinds.lease import JobCancelled, JobPaused, Lease, WorkerStopping
from job_kinds.process_device import DeviceLost
from job_kinds.resource_usage import Usage
from worker import worker_folder, worker_lock

log = logging.getLogger(__name__)

NO_FENCING_TOKEN = -1  # no job has this token, so all writes of such a claim are rejected


def lease_owner() -> str:
    """Return the owner of this process's leases: worker id, host name and process id."""
    return f"{own_folder().name}/{socket.gethostname()}:{os.getpid()}"


def own_folder() -> Path:
    """Return the folder of this worker's lock file and flags.

    worker.main sets it for its child processes.
    """
    settings = get_settings()
    return settings.worker_folder or settings.scratch / "worker"


def run_next(queues: Sequence[str]) -> bool:
    """Claim the first due job and run it, or else help with a running job.

    Returns False if there is nothing to do.

    Raises:
        DeviceLost: The GPU of this process cannot be used any more; the process must exit.
    """
    shard, kind = None, process_device.kind()
    with write() as session:
        claimed = jobs.claim_next(session, queues, lease_owner(), kind)
        if claimed is None:
            shard = jobs.claim_any_shard(session, queues, lease_owner(), kind)
    if shard is not None:
        _help_with_shards(shard)
    if claimed is None:
        return shard is not None
    claim, job = claimed
    with _traced(job, f"job {job.kind}"):
        _run(claim, job, kind)
    tracing.flush()  # this process may be killed once it is idle
    return True


def _traced(job: Job, name: str) -> AbstractContextManager[object]:
    """Record the block as a span of the request that created the job; add its ids to the log."""
    attributes: dict[str, str | int] = {"job_id": job.id, "attempt": job.fencing_token}
    return tracing.span(name, attributes, parent=job.traceparent)


def _run(claim: Claim, job: Job, kind: DeviceKind) -> None:
    log.info("job claimed")
    try:
        with Lease(claim, get_settings(), is_draining=_is_draining) as lease:
            lease.usage = Usage(kind)
            lease.usage.previous_attempts = dict(job.usage)
            lease.step = job.step
            outcome = _execute(job, lease)
        log.info("job %s", outcome)
    except LeaseLost:
        log.warning("lease lost; job stopped")
    except TRANSIENT_ERRORS as error:  # the outcome cannot be written either: the lease expires
        log.warning("job abandoned", extra={"cause": type(error).__name__})


def _execute(job: Job, lease: Lease) -> str:
    try:
        finish = job_kinds.KINDS[job.kind].run(job, lease)
        lease.phase = "finalizing"
        lease.send_heartbeat()
        _finish(finish)
    except LeaseLost:
        raise
    except JobCancelled:
        transact(lambda session: jobs.confirm_cancelled(session, lease.claim))
        return "cancelled"
    except JobPaused:
        transact(lambda session: jobs.confirm_paused(session, lease.claim))
        return "paused"
    except WorkerStopping:
        transact(lambda session: jobs.release(session, lease.claim))
        return "released"
    except TRANSIENT_ERRORS as error:
        log.warning("job interrupted", extra={"cause": type(error).__name__})
        with write() as session:
            jobs.release_as_lost(session, lease.claim)
        return "interrupted"
    except Exception as error:
        if process_device.is_lost(error):
            _give_back(lease.claim)
            raise DeviceLost(str(error)) from error
        failure = as_job_error(error)
        if failure.code == "internal":
            log.exception("job failed")
        transact(lambda session: jobs.fail(session, lease.claim, failure))
        return f"failed: {failure.code}"
    return "succeeded"


def _give_back(claim: Claim) -> None:
    """Return the job to the queue; if that cannot be written, its lease expires."""
    with suppress(LeaseLost, *TRANSIENT_ERRORS), write() as session:
        jobs.release_from_lost_device(session, claim)


def _is_draining() -> bool:
    """Touch the lock file, and return True if the supervisor has asked this worker to stop."""
    folder = own_folder()
    worker_lock.touch(folder)
    return worker_folder.is_draining(folder)


def _finish(finish: Finish) -> None:
    for attempt in range(5):
        try:
            transact(finish)
        except IntegrityError:  # another job created the same version of the model name first
            if attempt == 4:
                raise
        else:
            return


def _help_with_shards(shard: ShardClaim) -> None:
    """Generate shards of a job that another worker holds, while there are any."""
    with read() as session:
        job = jobs.get(session, shard.tenant_id, shard.job_id)
    with _traced(job, f"shards {job.kind}"):
        _generate_shards(job, shard)
    tracing.flush()


def _generate_shards(job: Job, shard: ShardClaim) -> None:
    from job_kinds.generation.run import generate_shards  # torch is slow to load

    log.info("helping with a job")
    claim = Claim(job.tenant_id, job.id, NO_FENCING_TOKEN, lease_owner())
    current_shard = CurrentShard(shard)

    def renew_shard(session: Session, _heartbeat: Heartbeat) -> StopRequests:
        return current_shard.renew(session)

    try:
        with Lease(claim, get_settings(), is_draining=_is_draining, heartbeat=renew_shard) as lease:
            generate_shards(job, lease, current_shard)
    except (LeaseLost, JobCancelled, JobPaused, WorkerStopping):
        log.info("stopped helping")
    except TRANSIENT_ERRORS as error:  # the release cannot be written either: the lease expires
        log.warning("shard abandoned", extra={"cause": type(error).__name__})
