"""Execution of one job from claim to end: transactions and errors around the handlers."""

import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import jobs, model_registry
from core.database import read, write
from core.jobs import Claim, Heartbeat, ShardClaim, StopRequests
from core.leases import LeaseLost
from core.settings import get_settings
from core.tables import Job, JobKind
from modalities import evaluation_jobs
from worker.current_shard import CurrentShard
from worker.job_errors import TRANSIENT_ERRORS, as_job_error
from worker.lease import JobCancelled, JobPaused, Lease, WorkerStopping

log = logging.getLogger(__name__)

Finish = Callable[[Session], object]  # ends a job that succeeded, in one transaction
Handler = Callable[[Job, Lease], Finish]
NO_FENCING_TOKEN = -1  # no job has this token, so all writes of such a claim are rejected


def lease_owner() -> str:
    """Return the owner of this process's leases: worker id, host name and process id."""
    return f"{worker_folder().name}/{socket.gethostname()}:{os.getpid()}"


def worker_folder() -> Path:
    """Return the folder of this worker's lock file and drain flag.

    worker.main sets it for its child processes.
    """
    settings = get_settings()
    return settings.worker_folder or settings.scratch / "worker"


def run_next(queues: Sequence[str], job_id: str | None = None) -> bool:
    """Claim a due job (preferably the given one) and run it, or else help with a running job.

    Returns False if there is nothing to do.
    """
    shard = None
    with write() as session:
        claimed = jobs.claim(session, job_id, lease_owner()) if job_id is not None else None
        claimed = claimed or jobs.claim_next(session, queues, lease_owner())
        if claimed is None:
            shard = jobs.claim_any_shard(session, queues, lease_owner(), job_id)
    if shard is not None:
        _help_with_shards(shard)
    if claimed is None:
        return shard is not None
    claim, job = claimed
    log_fields = {"job_id": job.id, "attempt": job.fencing_token, "traceparent": job.traceparent}
    log.info("job claimed", extra=log_fields)
    try:
        with Lease(claim, get_settings(), folder=worker_folder()) as lease:
            lease.usage.previous_attempts = dict(job.usage)
            lease.step = job.step
            outcome = _execute(job, lease)
        log.info("job %s", outcome, extra=log_fields)
    except LeaseLost:
        log.warning("lease lost; job stopped", extra=log_fields)
    except TRANSIENT_ERRORS as error:  # the outcome cannot be written either: the lease expires
        log.warning("job abandoned", extra=log_fields | {"cause": type(error).__name__})
    return True


def _execute(job: Job, lease: Lease) -> str:
    try:
        finish = HANDLERS[job.kind]()(job, lease)
        lease.phase = "finalizing"
        lease.send_heartbeat()
        _finish(finish)
    except LeaseLost:
        raise
    except JobCancelled:
        with write() as session:
            jobs.confirm_cancelled(session, lease.claim)
        return "cancelled"
    except JobPaused:
        with write() as session:
            jobs.confirm_paused(session, lease.claim)
        return "paused"
    except WorkerStopping:
        with write() as session:
            jobs.release(session, lease.claim)
        return "released"
    except TRANSIENT_ERRORS as error:
        log.warning("job interrupted", extra={"job_id": job.id, "cause": type(error).__name__})
        with write() as session:
            jobs.release_as_lost(session, lease.claim)
        return "interrupted"
    except Exception as error:
        failure = as_job_error(error)
        if failure.code == "internal":
            log.exception("job failed", extra={"job_id": job.id})
        with write() as session:
            jobs.fail(session, lease.claim, failure)
        return f"failed: {failure.code}"
    return "succeeded"


def _finish(finish: Finish) -> None:
    for attempt in range(5):
        try:
            with write() as session:
                finish(session)
        except IntegrityError:  # another job created the same version of the model name first
            if attempt == 4:
                raise
        else:
            return


def _help_with_shards(shard: ShardClaim) -> None:
    """Generate shards of a job that another worker holds, while there are any."""
    with read() as session:
        job = jobs.get(session, shard.tenant_id, shard.job_id)
    log_fields = {"job_id": job.id, "traceparent": job.traceparent}
    log.info("helping with a job", extra=log_fields)
    claim = Claim(job.tenant_id, job.id, NO_FENCING_TOKEN, lease_owner())
    current_shard = CurrentShard(shard)

    def renew_shard(session: Session, _heartbeat: Heartbeat) -> StopRequests:
        return current_shard.renew(session)

    try:
        with Lease(claim, get_settings(), folder=worker_folder(), heartbeat=renew_shard) as lease:
            _generate_shards(job, lease, current_shard)
    except (LeaseLost, JobCancelled, JobPaused, WorkerStopping):
        log.info("stopped helping", extra=log_fields)
    except TRANSIENT_ERRORS as error:  # the release cannot be written either: the lease expires
        log.warning("shard abandoned", extra=log_fields | {"cause": type(error).__name__})


def _generate_shards(job: Job, lease: Lease, current_shard: CurrentShard) -> None:
    """Generate shards; store a failure in the shard's row, where the job's holder reads it."""
    from worker.generation import ShardGenerator

    try:
        generator, shard = ShardGenerator(job, lease, current_shard), current_shard.shard
        while shard is not None:
            shard = generator.generate_shard(shard)
    except (LeaseLost, JobCancelled, JobPaused, WorkerStopping, *TRANSIENT_ERRORS):
        raise
    except Exception as error:
        failure = as_job_error(error)
        if failure.code == "internal":
            log.exception("shard failed", extra={"job_id": job.id})
        if current_shard.shard is not None:
            with write() as session:
                jobs.fail_shard(session, current_shard.shard, failure)


def _training() -> Handler:
    from worker.training import train  # imports torch, so only when a job needs it

    def handle(job: Job, lease: Lease) -> Finish:
        checkpoint = train(job, lease)

        def finish(session: Session) -> None:
            # A client may have promoted the checkpoint to a model already.
            model = model_registry.find_by_checkpoint(session, job, checkpoint)
            model = model or model_registry.create_version(session, job, checkpoint)
            result = {"step": checkpoint.step}
            jobs.finish(session, lease.claim, result=result, model=model)
            if job.resolved.get("evaluate"):
                evaluation_jobs.enqueue(session, job, model)

        return finish

    return handle


def _generation() -> Handler:
    from worker.generation import generate

    return generate


def _evaluation() -> Handler:
    from worker.evaluation import evaluate

    return evaluate


def _augmentation() -> Handler:
    from worker.augmentation.job import augment

    return augment


HANDLERS: dict[JobKind, Callable[[], Handler]] = {
    JobKind.TRAINING: _training,
    JobKind.GENERATION: _generation,
    JobKind.EVALUATION: _evaluation,
    JobKind.AUGMENTATION: _augmentation,
}
