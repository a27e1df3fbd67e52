"""Invariants of the tables that hold once every job has ended, whatever has failed before."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import jobs
from core.errors import JobError
from core.storage import StoredObject
from core.tables import (
    Checkpoint,
    Delivery,
    Event,
    Job,
    JobKind,
    JobState,
    Model,
    ShardState,
    Webhook,
)

# A copy of the state machine, so that a change of it fails until it is repeated here.
ALLOWED_TRANSITIONS = {
    "queued": {"running", "paused", "cancelled", "failed"},
    "running": {
        "pausing",
        "cancelling",
        "succeeded",
        "failed",
        "cancelled",
        "paused",
        "queued",
    },
    "pausing": {"cancelling", "paused", "succeeded", "failed", "cancelled"},
    "cancelling": {"cancelled", "succeeded", "failed"},
    "paused": {"queued", "cancelled"},
    "succeeded": set(),
    "failed": set(),
    "cancelled": set(),
}
END_STATES = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


def violations(session: Session, is_stored: Callable[[StoredObject], bool]) -> list[str]:
    """Return a message for each violated invariant.

    `is_stored` returns whether an object is stored with the saved bytes. Checkpoints must not have
    been promoted by a client.
    """
    messages = []
    for job in session.scalars(select(Job).order_by(Job.id)):
        checks = (_check_end(job), _check_history(session, job), _check_effects(session, job))
        checks += (_check_shards(session, job),) if job.kind is JobKind.GENERATION else ()
        messages += [f"{job.id}: {message}" for check in checks for message in check]
        messages += [f"{job.id}: {message}" for message in _check_files(session, job, is_stored)]
    return messages


def _check_end(job: Job) -> Iterator[str]:
    if job.state not in END_STATES:
        yield f"is still {job.state}"
    if (job.owner, job.lease_until, job.step_deadline_at) != (None, None, None):
        yield "is still held by a worker"
    if job.finished_at is None:
        yield "has no finished_at"
    if job.worker_losses > job.max_worker_losses:
        yield f"lost {job.worker_losses} workers, more than {job.max_worker_losses}"
    if (job.state is JobState.FAILED) != (job.error is not None):
        yield f"is {job.state} with the error {job.error}"
    if job.error is not None and (
        job.error["code"] not in JobError.CODES or not job.error["detail"]
    ):
        yield f"failed without a defined reason: {job.error}"


def _check_history(session: Session, job: Job) -> Iterator[str]:
    query = select(Event).where(Event.job_id == job.id, Event.type == "state")
    states = [event.data["state"] for event in session.scalars(query.order_by(Event.id))]
    if states[:1] != ["queued"]:
        yield f"does not begin as queued: {states}"
    for before, after in pairwise(states):
        if after not in ALLOWED_TRANSITIONS[before]:
            yield f"went from {before} to {after}"
    if states[-1:] != [job.state.value]:
        yield f"is {job.state}, but its last event says {states[-1:]}"
    if states.count("running") != job.fencing_token:
        yield f"has token {job.fencing_token} but {states.count('running')} events of a start"


def _check_effects(session: Session, job: Job) -> Iterator[str]:
    """Check the number of models, and of webhook messages about the end of the job."""
    models = session.scalars(select(Model).where(Model.job_id == job.id)).all()
    succeeded = job.state is JobState.SUCCEEDED
    if len(models) != (succeeded and job.kind is JobKind.TRAINING):
        yield f"is {job.state} and has {len(models)} models"
    if succeeded and models and (job.result or {}).get("model") != models[0].id:
        yield f"has the result {job.result}, but created {models[0].id}"
    notified: Counter[str] = Counter()
    sent = select(Delivery.webhook_id, Delivery.type).where(Delivery.job_id == job.id)
    for webhook_id, kind in session.execute(sent):
        if kind in {f"job.{state}" for state in END_STATES}:
            notified[webhook_id] += 1
            if kind != f"job.{job.state}":
                yield f"is {job.state}, but a webhook receives {kind}"
    webhooks = select(Webhook).where(Webhook.job_id.is_(None) | (Webhook.job_id == job.id))
    for webhook in session.scalars(webhooks):
        expected = f"job.{job.state}" in webhook.events
        if notified[webhook.id] != expected:
            yield f"sends a webhook {notified[webhook.id]} messages about its end"


def _check_shards(session: Session, job: Job) -> Iterator[str]:
    """Check for each item once, one file for each shard, and a manifest."""
    shards = jobs.shards_of(session, job.id)
    names = [row.name for row in jobs.artifacts_of(session, job.tenant_id, job.id)]
    done = [shard for shard in shards if shard.state is ShardState.DONE]
    succeeded = job.state is JobState.SUCCEEDED
    if len(names) != len(done) + succeeded or len(set(names)) != len(names):
        yield f"is {job.state} with {len(done)} completed shards and the files {names}"
    if succeeded:
        items = [k for shard in done for k in range(shard.start, shard.stop)]
        if items != list(range(job.resolved["count"])):
            yield f"has {len(items)} items of {job.resolved['count']}"
        if "manifest.json" not in names:
            yield "has no manifest"


def _check_files(
    session: Session, job: Job, is_stored: Callable[[StoredObject], bool]
) -> Iterator[str]:
    query = select(Checkpoint).where(Checkpoint.job_id == job.id)
    for checkpoint in session.scalars(query):
        for name, file in checkpoint.files.items():
            if not is_stored(StoredObject.from_dict(file)):
                yield f"refers to a {name} of step {checkpoint.step} that is not stored"
    for artifact in jobs.artifacts_of(session, job.tenant_id, job.id):
        if not is_stored(StoredObject(artifact.key, artifact.bytes, artifact.sha256)):
            yield f"refers to {artifact.name}, which is not stored"
