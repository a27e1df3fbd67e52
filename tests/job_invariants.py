"""What must hold of the tables once every job has ended, whatever has died on the way."""

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

# Written down here a second time, so that a change of the code's own table shows.
FOLLOWS = {
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
ENDS = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


def violations(session: Session, is_stored: Callable[[StoredObject], bool]) -> list[str]:
    """Each in words; `is_stored` tells whether an object is there with the bytes that were saved.

    For jobs whose checkpoints were not promoted by hand.
    """
    found = []
    for job in session.scalars(select(Job).order_by(Job.id)):
        checks = (_ending(job), _history(session, job), _effects(session, job))
        checks += (_shards(session, job),) if job.kind is JobKind.GENERATION else ()
        found += [f"{job.id}: {what}" for check in checks for what in check]
        found += [f"{job.id}: {what}" for what in _files(session, job, is_stored)]
    return found


def _ending(job: Job) -> Iterator[str]:
    if job.state not in ENDS:
        yield f"is still {job.state}"
    if (job.owner, job.lease_until, job.step_deadline_at) != (None, None, None):
        yield "is still held by a worker"
    if job.finished_at is None:
        yield "has no time of ending"
    if job.attempt != job.fencing_token:
        yield f"was claimed {job.attempt} times, but its fence stands at {job.fencing_token}"
    if job.worker_losses > job.max_worker_losses:
        yield f"lost {job.worker_losses} workers, more than {job.max_worker_losses}"
    if (job.state is JobState.FAILED) != (job.error is not None):
        yield f"is {job.state} with the error {job.error}"
    if job.error is not None and (
        job.error["code"] not in JobError.CODES or not job.error["detail"]
    ):
        yield f"failed without a known reason: {job.error}"


def _history(session: Session, job: Job) -> Iterator[str]:
    query = select(Event).where(Event.job_id == job.id, Event.type == "state")
    states = [event.data["state"] for event in session.scalars(query.order_by(Event.id))]
    if states[:1] != ["queued"]:
        yield f"does not begin as queued: {states}"
    for before, after in pairwise(states):
        if after not in FOLLOWS[before]:
            yield f"went from {before} to {after}"
    if states[-1:] != [job.state.value]:
        yield f"is {job.state}, but its last event says {states[-1:]}"
    if states.count("running") != job.attempt:
        yield f"was claimed {job.attempt} times and told of {states.count('running')}"


def _effects(session: Session, job: Job) -> Iterator[str]:
    """One model and one message for a training job that succeeded; no model for another."""
    models = session.scalars(select(Model).where(Model.job_id == job.id)).all()
    succeeded = job.state is JobState.SUCCEEDED
    if len(models) != (succeeded and job.kind is JobKind.TRAINING):
        yield f"is {job.state} and has {len(models)} models"
    if succeeded and models and (job.result or {}).get("model") != models[0].id:
        yield f"names the model {job.result}, but made {models[0].id}"
    told: Counter[str] = Counter()
    sent = select(Delivery.webhook_id, Delivery.type).where(Delivery.job_id == job.id)
    for webhook_id, kind in session.execute(sent):
        if kind in {f"job.{state}" for state in ENDS}:
            told[webhook_id] += 1
            if kind != f"job.{job.state}":
                yield f"is {job.state}, but a webhook is told {kind}"
    waiting = select(Webhook).where(Webhook.job_id.is_(None) | (Webhook.job_id == job.id))
    for webhook in session.scalars(waiting):
        wants = f"job.{job.state}" in webhook.events
        if told[webhook.id] != wants:
            yield f"tells a webhook {told[webhook.id]} times that it ended"


def _shards(session: Session, job: Job) -> Iterator[str]:
    """All items once, each shard in a file of its own, and a manifest that names them."""
    shards = jobs.shards_of(session, job.id)
    names = [row.name for row in jobs.artifacts_of(session, job.tenant_id, job.id)]
    done = [shard for shard in shards if shard.state is ShardState.DONE]
    succeeded = job.state is JobState.SUCCEEDED
    if len(names) != len(done) + succeeded or len(set(names)) != len(names):
        yield f"is {job.state} with {len(done)} shards made and the files {names}"
    if succeeded:
        made = [k for shard in done for k in range(shard.start, shard.stop)]
        if made != list(range(job.resolved["count"])):
            yield f"has made {len(made)} items of {job.resolved['count']}"
        if "manifest.json" not in names:
            yield "has no manifest"


def _files(session: Session, job: Job, is_stored: Callable[[StoredObject], bool]) -> Iterator[str]:
    query = select(Checkpoint).where(Checkpoint.job_id == job.id)
    for checkpoint in session.scalars(query):
        for name, file in checkpoint.files.items():
            if not is_stored(StoredObject.from_dict(file)):
                yield f"names a {name} of step {checkpoint.step} that is not stored"
    for artifact in jobs.artifacts_of(session, job.tenant_id, job.id):
        if not is_stored(StoredObject(artifact.key, artifact.bytes, artifact.sha256)):
            yield f"names {artifact.name}, which is not stored"
