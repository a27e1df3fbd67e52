"""One job from claim to end. Opens the transactions; the work itself lies in the handlers."""

import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import evaluation, jobs, registry
from core.database import read, write
from core.jobs import Beat, Claim, LeaseLost, Orders, ShardClaim
from core.settings import get_settings
from core.tables import Job, JobKind
from worker.failure import PASSING, as_job_error
from worker.lease import Cancelled, Drained, Lease, Paused
from worker.shard import AtHand

log = logging.getLogger(__name__)

Finish = Callable[[Session], object]  # the end of a job that succeeded, in one transaction
Handler = Callable[[Job, Lease], Finish]
NOTHING_HELD = -1  # the token of a claim that no write is allowed by


def owner() -> str:
    """The worker's id, as in the table of workers, and this process."""
    return f"{worker_folder().name}/{socket.gethostname()}:{os.getpid()}"


def worker_folder() -> Path:
    """Where this worker keeps its slot and its drain flag; set by worker.main for its children."""
    settings = get_settings()
    return settings.worker_folder or settings.scratch / "worker"


def run_next(queues: Sequence[str], job_id: str | None = None) -> bool:
    """Claim a job that is due (the given one, if it is) and see it through, or else help with one
    that runs; False when there is nothing to do."""
    shard = None
    with write() as session:
        taken = jobs.claim(session, job_id, owner()) if job_id is not None else None
        taken = taken or jobs.claim_next(session, queues, owner())
        if taken is None:
            shard = jobs.claim_any_shard(session, queues, owner(), job_id)
    if shard is not None:
        _help(shard)
    if taken is None:
        return shard is not None
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
        finish = HANDLERS[job.kind]()(job, lease)
        lease.phase = "finalizing"
        lease.flush()
        _finish(finish)
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


def _finish(finish: Finish) -> None:
    for attempt in range(5):
        try:
            with write() as session:
                finish(session)
        except IntegrityError:  # another job has just made the same version of the name
            if attempt == 4:
                raise
        else:
            return


def _help(shard: ShardClaim) -> None:
    """Make shards of a job that another worker holds, as long as there are any."""
    with read() as session:
        job = jobs.get(session, shard.tenant_id, shard.job_id)
    about = {"job_id": job.id, "trace": job.trace}
    log.info("helping", extra=about)
    claim, at_hand = Claim(job.tenant_id, job.id, NOTHING_HELD, owner()), AtHand(shard)

    def beat(session: Session, _beat: Beat) -> Orders:
        return at_hand.renew(session)

    try:
        with Lease(claim, get_settings(), folder=worker_folder(), beat=beat) as lease:
            _make(job, lease, at_hand)
    except (LeaseLost, Cancelled, Paused, Drained):
        log.info("the help ends", extra=about)
    except PASSING as error:  # not even that could be written: the shard's lease runs out
        log.warning("a shard is left", extra=about | {"cause": type(error).__name__})


def _make(job: Job, lease: Lease, at_hand: AtHand) -> None:
    """A failure is told to whoever holds the job, in the row of the shard."""
    from worker.generation import Maker

    try:
        maker, shard = Maker(job, lease, at_hand), at_hand.shard
        while shard is not None:
            shard = maker.make(shard)
    except (LeaseLost, Cancelled, Paused, Drained, *PASSING):
        raise
    except Exception as error:
        failure = as_job_error(error)
        if failure.code == "internal":
            log.exception("shard failed", extra={"job_id": job.id})
        if at_hand.shard is not None:
            with write() as session:
                jobs.spoil(session, at_hand.shard, failure)


def _training() -> Handler:
    from worker.training import train  # torch is imported only when there is something to do

    def handle(job: Job, lease: Lease) -> Finish:
        checkpoint = train(job, lease)

        def finish(session: Session) -> None:
            model = registry.of_checkpoint(session, job, checkpoint)  # if it was promoted
            model = model or registry.new_version(session, job, checkpoint)
            result = {"step": checkpoint.step}
            jobs.finish(session, lease.claim, result=result, model=model)
            if job.resolved_config.get("evaluate"):
                evaluation.start(session, job, model)

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
