"""A generation job: its shards, made here and by whoever helps, and the manifest at the end."""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from core import broker, jobs, model_registry, output_destinations, workers
from core.database import read, write
from core.datasets.images import writing as images
from core.datasets.media_types import IMAGE_MEDIA_TYPES, TABULAR_MEDIA_TYPES
from core.datasets.tabular import writing as rows
from core.errors import JobError
from core.generation import GenerationSpec
from core.jobs import Heartbeat, LeaseLost, ShardClaim, StopRequests
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, get_storage, key_of
from core.tables import Job, Model
from models.checkpoint import UnreadableCheckpoint
from models.errors import AcceptanceRateTooLow
from models.images import batched_sampling as image_batches
from models.images.sampling import ImageSampler
from models.images.sampling_plan import ImageIndexRange, ImageSamplingPlan
from models.load import AnySampler, load_sampler
from models.tabular import batched_sampling as row_batches
from models.tabular.conditions import InvalidCondition
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import RowIndexRange, RowSamplingPlan
from worker.current_shard import CurrentShard
from worker.job_errors import TRANSIENT_ERRORS
from worker.lease import JobCancelled, JobPaused, Lease, WorkerStopping

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
SHARD_POLL_S = 0.3  # between two looks at the shards that others make


def generate(job: Job, lease: Lease) -> "partial[None]":
    """Lay the shards out, make them with whoever helps, and write the manifest; what is returned
    ends the job within a transaction.

    Raises JobError, and whatever the lease raises when the job is to stop.
    """
    maker = ShardGenerator(job, lease, CurrentShard())
    lease.heartbeat = partial(_heartbeat, maker)
    with write() as session:
        jobs.create_shards(session, lease.claim, count=maker.spec.count, size=maker.spec.shard_size)
        shard = jobs.claim_shard(session, job.id, lease.claim.owner)
    lease.phase = "generating"
    _notify_helpers(job, maker.spec)
    while shard is not None or (shard := _wait_for_shards(maker)) is not None:
        shard = maker.generate_shard(shard)
    lease.phase = "finalizing"
    manifest = _manifest(job, maker)
    key = key_of(job.tenant_id, "jobs", job.id, str(lease.claim.fencing_token), MANIFEST)
    stored = maker.storage.put(key, json.dumps(manifest, ensure_ascii=False, indent=1).encode())
    if maker.spec.output_uri is not None:
        _deliver(job, maker, stored, maker.spec.output_uri)
    return partial(_finish, maker, stored, manifest)


def _deliver(
    job: Job, generator: "ShardGenerator", manifest: StoredObject, output_uri: str
) -> None:
    """Copy the shards, then the manifest, which says that all are there. Each time it is done gives
    the same files, so one that was broken off is begun again."""
    target = output_destinations.open_destination(output_uri)
    with read() as session:
        shards = jobs.artifacts_of(session, job.tenant_id, job.id, prefix="shard-")
    files = [(file.name, StoredObject(file.key, file.bytes, file.sha256)) for file in shards]
    for name, stored in (*files, (MANIFEST, manifest)):
        generator.check_stop()
        with generator.storage.open(stored) as path:
            target.put_file(f"{job.id}/{name}", path)


def _finish(
    generator: "ShardGenerator", stored: StoredObject, manifest: dict[str, Any], session: Session
) -> None:
    lease, place = generator.lease, generator.spec.output_uri
    media_type = "application/json"
    jobs.add_artifact(
        session, lease.claim, name=MANIFEST, stored=stored, media_type=media_type, step=None
    )
    about = {name: manifest[name] for name in ("count", "labels", "seed", "format")}
    size = sum(shard["bytes"] for shard in manifest["shards"])
    more = {"shards": len(manifest["shards"]), "bytes": size, "manifest": MANIFEST}
    delivered = {} if place is None else {"output_uri": f"{place.rstrip('/')}/{generator.job_id}"}
    jobs.finish(session, lease.claim, result=about | more | delivered)


def _notify_helpers(job: Job, spec: GenerationSpec) -> None:
    """A hint for each worker that could take a shard; those that get none look by themselves."""
    with read() as session:
        others = sum(job.queue in worker.queues for worker in workers.active(session)) - 1
    for _ in range(min(spec.shards - 1, others)):
        if not broker.publish(job.queue, job.id):
            return


def _wait_for_shards(generator: "ShardGenerator") -> ShardClaim | None:
    """A shard that its maker has lost or given back; None once all are made."""
    while True:
        with read() as session:
            made = jobs.shard_progress(session, generator.job_id)
        if made.error is not None:
            raise JobError(made.error["code"], made.error["detail"])
        if made.done == made.shards:
            return None
        generator.check_stop()
        if made.available:
            with write() as session:
                if (
                    shard := jobs.claim_shard(session, generator.job_id, generator.owner)
                ) is not None:
                    return shard
        time.sleep(SHARD_POLL_S)


def _heartbeat(generator: "ShardGenerator", session: Session, heartbeat: Heartbeat) -> StopRequests:
    """The job's heartbeat tells what all its makers have done. A shard that was lost while the job
    is still held is no loss of the job: its writes are refused."""
    with suppress(LeaseLost):
        generator.current_shard.renew(session)
    made = jobs.shard_progress(session, generator.job_id)
    used = {"cpu_s": round(made.cpu_s, 2), "wall_s": round(made.wall_s, 2)}
    progress = generator.progress(made.items)
    heartbeat = replace(heartbeat, step=made.items, usage=used, progress=progress)
    return jobs.heartbeat(session, generator.lease.claim, heartbeat)


def _manifest(job: Job, generator: "ShardGenerator") -> dict[str, Any]:
    with read() as session:
        shards = jobs.shards_of(session, job.id)
        files = {row.name: row for row in jobs.artifacts_of(session, job.tenant_id, job.id)}
    labels: Counter[str] = Counter()
    listed = []
    for shard in shards:
        file = files[generator.spec.shard_name(shard.number)]
        labels.update(shard.labels)
        listed.append(
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
        "shards": listed,
    }


class ShardGenerator:
    """Makes shards of one job, one after the other."""

    def __init__(self, job: Job, lease: Lease, current_shard: CurrentShard) -> None:
        """Raises JobError when the model cannot be read."""
        torch.set_num_threads(get_settings().training_threads)
        self.spec = GenerationSpec.model_validate(job.resolved)
        with read() as session:
            self.model = model_registry.get(session, job.tenant_id, self.spec.model)
        self.job_id, self.lease, self.owner = job.id, lease, lease.claim.owner
        self.storage = get_storage()
        self._sampler = _load_model(self.model, self.storage)
        self._tenant_id = job.tenant_id
        self.current_shard = current_shard
        self._began: tuple[float, int] | None = None

    def generate_shard(self, shard: ShardClaim) -> ShardClaim | None:
        """The next shard to make, if there is one. Raises what `go_on` raises, and JobError."""
        self.current_shard.set(shard)
        key = key_of(
            self._tenant_id,
            *("jobs", self.job_id, "shards"),
            f"{shard.number:05}-{shard.fencing_token}.{self.spec.format}",
        )
        labels: Counter[str] = Counter()
        try:
            stored = self.storage.put_stream(key, self._chunks(shard, labels))
        except (JobCancelled, JobPaused, WorkerStopping, *TRANSIENT_ERRORS):
            self._release_shard(shard)
            raise
        except AcceptanceRateTooLow as error:
            raise JobError(
                "acceptance_rate_too_low",
                f"{error.accepted} of {error.requested} items could be made: {error.acceptance_rate:.2%} of "
                "those that the model draws are as asked for",
            ) from error
        except InvalidCondition as error:
            raise JobError("acceptance_rate_too_low", f"column {error.column!r} {error}") from error
        used = self.current_shard.usage.snapshot()
        self.current_shard.set(None)
        try:
            with write() as session:
                jobs.complete_shard(
                    session,
                    shard,
                    name=self.spec.shard_name(shard.number),
                    stored=stored,
                    media_type=(IMAGE_MEDIA_TYPES | TABULAR_MEDIA_TYPES)[self.spec.format],
                    labels=labels,
                    **used,
                )
                return jobs.claim_shard(session, self.job_id, self.owner)
        except LeaseLost:  # somebody else makes it
            self.storage.delete([key])
        return None

    def _release_shard(self, shard: ShardClaim) -> None:
        """For somebody else; at once, if that can be written, or else when its lease ends."""
        self.current_shard.set(None)
        with suppress(*TRANSIENT_ERRORS), write() as session:
            jobs.release_shard(session, shard)

    def check_stop(self) -> None:
        """Raises LeaseLost, and what the lease says when the work is to stop."""
        self.lease.check()
        if self.lease.stopping:
            raise self.lease.stopping

    def progress(self, items: int) -> dict[str, Any]:
        now = time.monotonic()
        since, first = self._began = self._began or (now, items)
        rate = (items - first) / (now - since) if now > since else 0.0
        return {
            "percent": round(100 * items / self.spec.count, 1),
            "steps": self.spec.count,
            "rate": round(rate, 2),
            "eta_s": round((self.spec.count - items) / rate, 1) if rate else None,
        }

    def _chunks(self, shard: ShardClaim, labels: Counter[str]) -> Iterator[bytes]:
        if isinstance(self._sampler, ImageSampler):
            return self._image_chunks(self._sampler, shard, labels)
        return self._table_chunks(self._sampler, shard, labels)

    def _image_chunks(
        self, generator: ImageSampler, shard: ShardClaim, labels: Counter[str]
    ) -> Iterator[bytes]:
        spec, learned = self.spec, self.model.manifest["labels"]
        names = [label["name"] for label in learned]
        shares = tuple(float(label["count"]) for label in learned)
        runs = tuple(ImageIndexRange(run.label, run.start, run.stop) for run in spec.image_ranges)
        order = ImageSamplingPlan(runs, spec.seed, shares, spec.balance_labels).slice(
            shard.start, shard.stop
        )

        def drawn() -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
            for indices, pixels in image_batches.iter_batches(
                generator, order, spec.min_label_confidence
            ):
                self.check_stop()
                if names:
                    labels.update(names[index] for index in indices)
                self.current_shard.items_done += len(indices)
                yield indices, pixels

        about = {"count": order.count, "image": self.model.manifest["image"]}
        return images.encode(spec.format, drawn(), names, **about, first=shard.start)

    def _table_chunks(
        self, generator: TableSampler, shard: ShardClaim, labels: Counter[str]
    ) -> Iterator[bytes]:
        manifest = self.model.manifest
        parts = tuple(
            RowIndexRange(tuple(part.conditions), part.start, part.stop)
            for part in self.spec.row_ranges
        )
        order = RowSamplingPlan(parts, self.spec.seed).slice(shard.start, shard.stop)
        names = {label["value"]: label["name"] for label in manifest["labels"]}

        def drawn() -> Iterator[pa.RecordBatch]:
            for numbers, wheres in row_batches.iter_chunks(order):
                self.check_stop()
                made = row_batches.generate_batch(generator, order.seed, numbers, wheres).rows
                if names:
                    counted = (
                        made.column(manifest["target_column"])
                        .drop_null()
                        .value_counts()
                        .to_pylist()
                    )
                    labels.update({names[pair["values"]]: pair["counts"] for pair in counted})
                self.current_shard.items_done += len(numbers)
                yield made

        return rows.encode(self.spec.format, drawn(), rows.parse_sample_columns(manifest), {})


_last_loaded: tuple[str, AnySampler] | None = None  # many small jobs ask for the same model


def _load_model(model: Model, storage: Storage) -> AnySampler:
    global _last_loaded
    stored = StoredObject.from_dict(model.weights)
    if _last_loaded is None or _last_loaded[0] != stored.sha256:
        try:
            with storage.open(stored) as path:
                _last_loaded = (stored.sha256, load_sampler(path))
        except (ObjectCorrupted, UnreadableCheckpoint) as error:
            raise JobError("model_unreadable", "the model's weights cannot be read") from error
    return _last_loaded[1]
