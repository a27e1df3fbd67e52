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

from core import delivery, jobs, queue, registry, workers
from core.database import read, write
from core.datasets.images import writing as images
from core.datasets.media_types import MEDIA_TYPES, ROW_MEDIA_TYPES
from core.datasets.rows import writing as rows
from core.errors import JobError
from core.generation import GenerationSpec
from core.jobs import Beat, LeaseLost, Orders, ShardClaim
from core.settings import get_settings
from core.storage import DamagedObject, Storage, Stored, get_storage, key_of
from core.tables import Job, Model
from models.checkpoint import UnreadableCheckpoint
from models.generator import Generator, load
from models.images import drawing as image_drawing
from models.images.order import Order, Run
from models.images.sampling import ImageSampler
from models.rarity import TooRare
from models.tables import drawing as row_drawing
from models.tables.conditions import InvalidCondition
from models.tables.order import Part, RowOrder
from models.tables.sampling import RowSampler
from worker.failure import PASSING
from worker.lease import Cancelled, Drained, Lease, Paused
from worker.shard import AtHand

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
LOOK_S = 0.3  # between two looks at the shards that others make


def generate(job: Job, lease: Lease) -> "partial[None]":
    """Lay the shards out, make them with whoever helps, and write the manifest; what is returned
    ends the job within a transaction.

    Raises JobError, and whatever the lease raises when the job is to stop.
    """
    maker = Maker(job, lease, AtHand())
    lease.beat = partial(_beat, maker)
    with write() as session:
        jobs.lay_out(session, lease.claim, count=maker.spec.count, size=maker.spec.shard_size)
        shard = jobs.claim_shard(session, job.id, lease.claim.owner)
    lease.phase = "generating"
    _call_for_help(job, maker.spec)
    while shard is not None or (shard := _wait(maker)) is not None:
        shard = maker.make(shard)
    lease.phase = "finalizing"
    manifest = _manifest(job, maker)
    key = key_of(job.tenant_id, "jobs", job.id, str(lease.claim.token), MANIFEST)
    stored = maker.storage.put(key, json.dumps(manifest, ensure_ascii=False, indent=1).encode())
    if maker.spec.deliver_to is not None:
        _deliver(job, maker, stored, maker.spec.deliver_to)
    return partial(_finish, maker, stored, manifest)


def _deliver(job: Job, maker: "Maker", manifest: Stored, place: str) -> None:
    """Copy the shards, then the manifest, which says that all are there. Each time it is done gives
    the same files, so one that was broken off is begun again."""
    target = delivery.open_place(place)
    with read() as session:
        shards = jobs.artifacts_of(session, job.tenant_id, job.id, prefix="shard-")
    files = [(file.name, Stored(file.key, file.bytes, file.sha256)) for file in shards]
    for name, stored in (*files, (MANIFEST, manifest)):
        maker.go_on()
        with maker.storage.open(stored) as path:
            target.put_file(f"{job.id}/{name}", path)


def _finish(maker: "Maker", stored: Stored, manifest: dict[str, Any], session: Session) -> None:
    lease, place = maker.lease, maker.spec.deliver_to
    media_type = "application/json"
    jobs.add_artifact(
        session, lease.claim, name=MANIFEST, stored=stored, media_type=media_type, step=None
    )
    about = {name: manifest[name] for name in ("count", "labels", "seed", "format")}
    size = sum(shard["bytes"] for shard in manifest["shards"])
    more = {"shards": len(manifest["shards"]), "bytes": size, "manifest": MANIFEST}
    delivered = {} if place is None else {"delivered_to": f"{place.rstrip('/')}/{maker.job_id}"}
    jobs.finish(session, lease.claim, result=about | more | delivered)


def _call_for_help(job: Job, spec: GenerationSpec) -> None:
    """A hint for each worker that could take a shard; those that get none look by themselves."""
    with read() as session:
        others = sum(job.queue in worker.queues for worker in workers.alive(session)) - 1
    for _ in range(min(spec.shards - 1, others)):
        if not queue.publish(job.queue, job.id):
            return


def _wait(maker: "Maker") -> ShardClaim | None:
    """A shard that its maker has lost or given back; None once all are made."""
    while True:
        with read() as session:
            made = jobs.made(session, maker.job_id)
        if made.error is not None:
            raise JobError(made.error["code"], made.error["detail"])
        if made.done == made.shards:
            return None
        maker.go_on()
        if made.free:
            with write() as session:
                if (shard := jobs.claim_shard(session, maker.job_id, maker.owner)) is not None:
                    return shard
        time.sleep(LOOK_S)


def _beat(maker: "Maker", session: Session, beat: Beat) -> Orders:
    """The job's heartbeat tells what all its makers have done. A shard that was lost while the job
    is still held is no loss of the job: its writes are refused."""
    with suppress(LeaseLost):
        maker.at_hand.renew(session)
    made = jobs.made(session, maker.job_id)
    used = {"cpu_s": round(made.cpu_s, 2), "wall_s": round(made.wall_s, 2)}
    progress = maker.progress(made.items)
    beat = replace(beat, step=made.items, usage=used, progress=progress)
    return jobs.heartbeat(session, maker.lease.claim, beat)


def _manifest(job: Job, maker: "Maker") -> dict[str, Any]:
    with read() as session:
        shards = jobs.shards_of(session, job.id)
        files = {row.name: row for row in jobs.artifacts_of(session, job.tenant_id, job.id)}
    labels: Counter[str] = Counter()
    listed = []
    for shard in shards:
        file = files[maker.spec.shard_name(shard.number)]
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
    spec, model = maker.spec, maker.model
    return {
        "job": job.id,
        "model": {"id": model.id, "reference": spec.reference, "sha256": model.weights["sha256"]},
        "kind": spec.kind,
        "format": spec.format,
        "seed": spec.seed,
        "offset": spec.offset,
        "count": spec.count,
        "labels": dict(labels),
        "shards": listed,
    }


class Maker:
    """Makes shards of one job, one after the other."""

    def __init__(self, job: Job, lease: Lease, at_hand: AtHand) -> None:
        """Raises JobError when the model cannot be read."""
        torch.set_num_threads(get_settings().training_threads)
        self.spec = GenerationSpec.model_validate(job.resolved_config)
        with read() as session:
            self.model = registry.get(session, job.tenant_id, self.spec.model)
        self.job_id, self.lease, self.owner = job.id, lease, lease.claim.owner
        self.storage = get_storage()
        self._generator = _generator_of(self.model, self.storage)
        self._tenant_id = job.tenant_id
        self.at_hand = at_hand
        self._began: tuple[float, int] | None = None

    def make(self, shard: ShardClaim) -> ShardClaim | None:
        """The next shard to make, if there is one. Raises what `go_on` raises, and JobError."""
        self.at_hand.take(shard)
        key = key_of(
            self._tenant_id,
            *("jobs", self.job_id, "shards"),
            f"{shard.number:05}-{shard.token}.{self.spec.format}",
        )
        labels: Counter[str] = Counter()
        try:
            stored = self.storage.put_stream(key, self._pieces(shard, labels))
        except (Cancelled, Paused, Drained, *PASSING):
            self._give_back(shard)
            raise
        except TooRare as error:
            raise JobError(
                "too_rare",
                f"{error.made} of {error.asked} items could be made: {error.acceptance:.2%} of "
                "those that the model draws are as asked for",
            ) from error
        except InvalidCondition as error:
            raise JobError("too_rare", f"column {error.column!r} {error}") from error
        used = self.at_hand.usage.so_far()
        self.at_hand.take(None)
        try:
            with write() as session:
                jobs.complete(
                    session,
                    shard,
                    name=self.spec.shard_name(shard.number),
                    stored=stored,
                    media_type=(MEDIA_TYPES | ROW_MEDIA_TYPES)[self.spec.format],
                    labels=labels,
                    **used,
                )
                return jobs.claim_shard(session, self.job_id, self.owner)
        except LeaseLost:  # somebody else makes it
            self.storage.delete([key])
        return None

    def _give_back(self, shard: ShardClaim) -> None:
        """For somebody else; at once, if that can be written, or else when its lease ends."""
        self.at_hand.take(None)
        with suppress(*PASSING), write() as session:
            jobs.give_back(session, shard)

    def go_on(self) -> None:
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

    def _pieces(self, shard: ShardClaim, labels: Counter[str]) -> Iterator[bytes]:
        if isinstance(self._generator, ImageSampler):
            return self._image_pieces(self._generator, shard, labels)
        return self._row_pieces(self._generator, shard, labels)

    def _image_pieces(
        self, generator: ImageSampler, shard: ShardClaim, labels: Counter[str]
    ) -> Iterator[bytes]:
        spec, learned = self.spec, self.model.manifest["labels"]
        names = [label["name"] for label in learned]
        shares = tuple(float(label["count"]) for label in learned)
        runs = tuple(Run(run.label, run.start, run.stop) for run in spec.images)
        order = Order(runs, spec.seed, shares, spec.balance).slice(shard.start, shard.stop)

        def drawn() -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
            for indices, pixels in image_drawing.all_drawn(generator, order, spec.min_label_score):
                self.go_on()
                if names:
                    labels.update(names[index] for index in indices)
                self.at_hand.made += len(indices)
                yield indices, pixels

        about = {"count": order.count, "image": self.model.manifest["image"]}
        return images.encode(spec.format, drawn(), names, **about, first=shard.start)

    def _row_pieces(
        self, generator: RowSampler, shard: ShardClaim, labels: Counter[str]
    ) -> Iterator[bytes]:
        manifest = self.model.manifest
        parts = tuple(Part(tuple(part.wheres), part.start, part.stop) for part in self.spec.rows)
        order = RowOrder(parts, self.spec.seed).slice(shard.start, shard.stop)
        names = {label["value"]: label["name"] for label in manifest["labels"]}

        def drawn() -> Iterator[pa.RecordBatch]:
            for numbers, wheres in row_drawing.chunks(order):
                self.go_on()
                made = row_drawing.drawn(generator, order.seed, numbers, wheres).rows
                if names:
                    counted = made.column(manifest["label"]).drop_null().value_counts().to_pylist()
                    labels.update({names[pair["values"]]: pair["counts"] for pair in counted})
                self.at_hand.made += len(numbers)
                yield made

        return rows.encode(self.spec.format, drawn(), rows.columns_of(manifest), {})


_newest: tuple[str, Generator] | None = None  # many small jobs ask for the same model


def _generator_of(model: Model, storage: Storage) -> Generator:
    global _newest
    stored = Stored.from_dict(model.weights)
    if _newest is None or _newest[0] != stored.sha256:
        try:
            with storage.open(stored) as path:
                _newest = (stored.sha256, load(path))
        except (DamagedObject, UnreadableCheckpoint) as error:
            raise JobError("model_unreadable", "the model's weights cannot be read") from error
    return _newest[1]
