"""Generation job: workers generate its shards, then the job's holder writes the manifest.

The holder is the worker that has claimed the job. Other workers with nothing to do claim single
shards of it.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from sqlalchemy.orm import Session

from core import broker, jobs, model_registry, output_destinations, workers
from core.database import read, transact, write
from core.devices import DeviceKind
from core.errors import JobError, ValidationFailed
from core.jobs import Heartbeat, ShardClaim, StopRequests
from core.leases import LeaseLost
from core.settings import get_settings
from core.storage import Storage, StoredObject, get_storage, key_of
from core.tables import Job, Model
from job_kinds import process_device
from job_kinds.base import Finish
from job_kinds.generation.current_shard import CurrentShard
from job_kinds.generation.request import GenerationSpec
from job_kinds.generation.sampler_cache import SamplerCache
from job_kinds.job_errors import TRANSIENT_ERRORS, as_job_error
from job_kinds.lease import JobCancelled, JobPaused, Lease, WorkerStopping
from job_kinds.resource_usage import TimeUsed
from modalities import registry, stored_samplers
from modalities.sampling import Batch, Sampler
from modalities.turns import Unshared
from models.errors import AcceptanceRateTooLow

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
SHARD_POLL_S = 0.3  # interval at which the holder polls the shards of its helpers


def generate(job: Job, lease: Lease) -> Finish:
    """Create the shards, generate them together with helpers, and write the manifest.

    Returns:
        A function that finishes the job in one transaction.

    Raises:
        JobError: The job failed.
        LeaseLost, JobCancelled, JobPaused, WorkerStopping: See `Lease`.
    """
    generator = ShardGenerator(job, lease, CurrentShard())
    spec = generator.spec
    lease.heartbeat = partial(_heartbeat, generator)

    def start(session: Session) -> ShardClaim | None:
        jobs.create_shards(session, lease.claim, count=spec.count, size=spec.shard_size)
        return jobs.claim_shard(session, job.id, lease.claim.owner, process_device.kind())

    shard = transact(start)
    lease.phase = "generating"
    _notify_helpers(job, spec)
    try:
        while shard is not None or (shard := _wait_for_shards(generator)) is not None:
            shard = generator.generate_shard(shard)
    except Exception as error:
        if process_device.is_lost(error):
            _release(generator.current_shard)
        raise
    lease.phase = "finalizing"
    manifest = _build_manifest(job, generator)
    manifest_json = json.dumps(manifest, ensure_ascii=False, indent=1)
    stored = generator.storage.put(lease.claim.key_of(MANIFEST), manifest_json.encode())
    if spec.output_uri is not None:
        _deliver(job, generator, stored, spec.output_uri)
    return partial(_finish, generator, stored, manifest)


def _deliver(
    job: Job, generator: "ShardGenerator", manifest: StoredObject, output_uri: str
) -> None:
    """Copy the shards to `output_uri`, then the manifest, whose presence shows that all are there.

    An interrupted delivery is repeated from the start: it always writes the same files.
    """
    target = output_destinations.open_destination(output_uri)
    with read() as session:
        shards = jobs.artifacts_of(session, job.tenant_id, job.id, prefix="shard-")
    files = [(file.name, StoredObject.of(file)) for file in shards]
    for name, stored in (*files, (MANIFEST, manifest)):
        generator.check_stop()
        with generator.storage.open(stored) as path:
            target.put_file(f"{job.id}/{name}", path)


def _finish(
    generator: "ShardGenerator", stored: StoredObject, manifest: dict[str, Any], session: Session
) -> None:
    lease, output_uri = generator.lease, generator.spec.output_uri
    jobs.add_artifact(session, lease.claim, name=MANIFEST, stored=stored)
    result = {name: manifest[name] for name in ("count", "labels", "seed", "format")}
    result["shards"] = len(manifest["shards"])
    result["bytes"] = sum(shard["bytes"] for shard in manifest["shards"])
    result["manifest"] = MANIFEST
    if output_uri is not None:
        result["output_uri"] = f"{output_uri.rstrip('/')}/{generator.job_id}"
    jobs.finish(session, lease.claim, result=result)


def _notify_helpers(job: Job, spec: GenerationSpec) -> None:
    """Notify each worker that could take a shard; others find the shards by polling."""
    with read() as session:
        others = len(workers.serving(session, job.queue, job.device_kind)) - 1
    for _ in range(min(spec.shards - 1, others)):
        if not broker.publish(job.queue, job.device_kind):
            return


def _wait_for_shards(generator: "ShardGenerator") -> ShardClaim | None:
    """Wait for a shard that a helper has lost or released; return None once all are done.

    Raises:
        JobError: A helper failed.
    """
    while True:
        with read() as session:
            progress = jobs.shard_progress(session, generator.job_id)
        if progress.error is not None:
            raise JobError(progress.error["code"], progress.error["detail"])
        if progress.done == progress.shards:
            return None
        generator.check_stop()
        if progress.available:
            shard = transact(
                lambda session: jobs.claim_shard(
                    session, generator.job_id, generator.owner, process_device.kind()
                )
            )
            if shard is not None:
                return shard
        time.sleep(SHARD_POLL_S)


def _heartbeat(generator: "ShardGenerator", session: Session, heartbeat: Heartbeat) -> StopRequests:
    """Send the job's heartbeat, with the progress and usage of all workers.

    Losing the current shard does not end the job: writes to a lost shard are rejected.
    """
    with suppress(LeaseLost):
        generator.current_shard.renew(session)
    total = jobs.shard_progress(session, generator.job_id)
    # All shards of a job are generated on the same kind of device.
    gpu_s = total.wall_s if process_device.kind() is DeviceKind.GPU else 0.0
    usage = TimeUsed(total.cpu_s, total.wall_s, gpu_s).to_dict(2)
    progress = generator.progress(total.items)
    heartbeat = replace(heartbeat, step=total.items, usage=usage, progress=progress)
    return jobs.heartbeat(session, generator.lease.claim, heartbeat)


def _build_manifest(job: Job, generator: "ShardGenerator") -> dict[str, Any]:
    with read() as session:
        shards = jobs.shards_of(session, job.id)
        files = {row.name: row for row in jobs.artifacts_of(session, job.tenant_id, job.id)}
    labels: Counter[str] = Counter()
    shard_entries = []
    for shard in shards:
        file = files[generator.spec.shard_name(shard.number)]
        labels.update(shard.labels)
        shard_entries.append(
            {
                "name": file.name,
                "bytes": file.bytes,
                "sha256": file.sha256,
                "start": shard.start,
                "stop": shard.stop,
                "labels": shard.labels,
            }
        )
    spec, model = generator.spec, generator.model
    return {
        "job": job.id,
        "model": {"id": model.id, "reference": spec.reference, "sha256": model.weights["sha256"]},
        "modality": spec.modality,
        "format": spec.format,
        "seed": spec.seed,
        "offset": spec.offset,
        "count": spec.count,
        "labels": dict(labels),
        "shards": shard_entries,
    }


class ShardGenerator:
    """Generator of shards of one job, one after the other."""

    def __init__(self, job: Job, lease: Lease, current_shard: CurrentShard) -> None:
        """Load the model.

        Raises:
            JobError: The model cannot be read.
        """
        torch.set_num_threads(get_settings().training_threads)
        self.spec = GenerationSpec.model_validate(job.resolved)
        with read() as session:
            self.model = model_registry.get(session, job.tenant_id, self.spec.model)
        self.job_id, self.lease, self.owner = job.id, lease, lease.claim.owner
        self.storage = get_storage()
        self._sampler = _load_model(self.model, self.storage)
        modality = registry.get(self.model.modality)
        self._plan = modality.read_plan(self.model.manifest, self.spec.plan, self.spec.seed)
        self._tenant_id = job.tenant_id
        self.current_shard = current_shard
        self._start: tuple[float, int] | None = None  # time and number of items at first progress

    def generate_shard(self, shard: ShardClaim) -> ShardClaim | None:
        """Generate and store a shard, then claim the next one; return None if there is none.

        Raises:
            JobError: The model cannot generate the requested items.
            LeaseLost, JobCancelled, JobPaused, WorkerStopping: See `check_stop`.
        """
        self.current_shard.set(shard)
        file = f"{shard.number:05}-{shard.fencing_token}.{self.spec.format}"
        key = key_of(self._tenant_id, "jobs", self.job_id, "shards", file)
        labels: Counter[str] = Counter()
        try:
            stored = self.storage.put_stream(key, self._chunks(shard, labels))
        except (JobCancelled, JobPaused, WorkerStopping, *TRANSIENT_ERRORS):
            _release(self.current_shard)
            raise
        except AcceptanceRateTooLow as error:
            raise JobError("acceptance_rate_too_low", str(error)) from error
        except ValidationFailed as error:
            raise JobError("acceptance_rate_too_low", error.detail) from error
        times = self.current_shard.times()
        self.current_shard.set(None)

        def complete(session: Session) -> ShardClaim | None:
            jobs.complete_shard(
                session,
                shard,
                name=self.spec.shard_name(shard.number),
                stored=stored,
                media_type=self._plan.formats[self.spec.format],
                labels=labels,
                **times,
            )
            return jobs.claim_shard(session, self.job_id, self.owner, process_device.kind())

        try:
            return transact(complete)
        except LeaseLost:  # another worker generates this shard
            self.storage.delete([key])
        return None

    def check_stop(self) -> None:
        """Raise LeaseLost if the lease is lost, or the lease's exception if the work must stop."""
        self.lease.check()
        if self.lease.stopping:
            raise self.lease.stopping

    def progress(self, items: int) -> dict[str, Any]:
        now = time.monotonic()
        start, first_items = self._start = self._start or (now, items)
        rate = (items - first_items) / (now - start) if now > start else 0.0
        return {
            "percent": round(100 * items / self.spec.count, 1),
            "steps": self.spec.count,
            "rate": round(rate, 2),
            "eta_s": round((self.spec.count - items) / rate, 1) if rate else None,
        }

    def _chunks(self, shard: ShardClaim, labels: Counter[str]) -> Iterator[bytes]:
        """Yield the encoded items of a shard, and count their labels in `labels`."""
        plan = self._plan.slice(shard.start, shard.stop)

        def batches() -> Iterator[Batch]:
            for batch in self._sampler.draw(plan, Unshared()):
                self.check_stop()
                labels.update(plan.count_labels(batch))
                self.current_shard.items_done += len(batch)
                yield batch

        return plan.encode(self.spec.format, batches(), {})


def _release(
    current_shard: CurrentShard,
    release: Callable[[Session, ShardClaim], None] = jobs.release_shard,
) -> None:
    """Release the shard for other workers; if that cannot be written, its lease expires."""
    shard = current_shard.shard
    current_shard.set(None)
    if shard is not None:
        with suppress(LeaseLost, *TRANSIENT_ERRORS), write() as session:
            release(session, shard)


def generate_shards(job: Job, lease: Lease, current_shard: CurrentShard) -> None:
    """Help with a job that another worker holds: generate shards while there are any.

    A failure is stored in the shard's row, where the job's holder reads it.

    Raises:
        DeviceLost: The GPU cannot be used any more; the shard is released.
    """
    try:
        generator, shard = ShardGenerator(job, lease, current_shard), current_shard.shard
        while shard is not None:
            shard = generator.generate_shard(shard)
    except (LeaseLost, JobCancelled, JobPaused, WorkerStopping, *TRANSIENT_ERRORS):
        raise
    except Exception as error:
        if process_device.is_lost(error):
            _release(current_shard, jobs.release_shard_from_lost_device)
            raise process_device.DeviceLost(str(error)) from error
        failure = as_job_error(error)
        if failure.code == "internal":
            log.exception("shard failed", extra={"job_id": job.id})
        if current_shard.shard is not None:
            with write() as session:
                jobs.fail_shard(session, current_shard.shard, failure)


_samplers = SamplerCache()


def _load_model(model: Model, storage: Storage) -> Sampler:
    def load() -> Sampler:
        modality, device = registry.get(model.modality), process_device.require()
        return stored_samplers.load(
            model, storage, lambda path: modality.load_sampler(path, device)
        )

    return _samplers.get(model.weights["sha256"], load)
