"""An evaluation job: samples of a model beside the real items that its training has not seen."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sqlalchemy.orm import Session

import core.evaluation
from core import jobs, registry
from core.database import read, write
from core.datasets import life as datasets
from core.datasets.images.writing import png
from core.errors import JobError
from core.evaluation import REPORT, EvaluationSpec
from core.settings import get_settings
from core.storage import DamagedObject, Storage, Stored, get_storage, key_of
from core.tables import Dataset, Job, Model
from core.training import TrainingSpec
from models.checkpoint import UnreadableCheckpoint
from models.generator import Generator, load
from models.images import drawing as image_drawing
from models.images.data import LabelledImages
from models.images.order import by_count
from models.images.pictures import sheet
from models.images.sampling import ImageSampler
from models.measures import images as of_images
from models.measures import rows as of_rows
from models.measures.verdict import verdict
from models.measures.yardstick import Yardstick
from models.split import UNLABELLED
from models.tables import drawing as row_drawing
from models.tables.order import of_all
from models.tables.sampling import RowSampler
from worker.content import images_of, rows_of
from worker.lease import Lease

PICTURES = 8  # of each label
LABELS_SHOWN = 20
GALLERY = 24  # samples beside the nearest training image


def evaluate(job: Job, lease: Lease) -> "partial[None]":
    """Draw, measure, store the report; what is returned ends the job within a transaction.

    Raises JobError, and whatever the lease raises when the job is to stop.
    """
    torch.set_num_threads(get_settings().training_threads)
    spec = EvaluationSpec.model_validate(job.resolved_config)
    with read() as session:
        model = registry.get(session, job.tenant_id, spec.model)
        if job.dataset_id is None:
            raise JobError("dataset_unreadable", "the dataset was deleted")
        dataset = datasets.get_ready(session, job.tenant_id, job.dataset_id)
    work = Work(job, lease, spec, model, dataset, get_storage())
    lease.phase = "evaluating"
    found = work.images() if spec.kind == "images" else work.rows()
    said = verdict(found["scores"], found["held_out"])
    report = {
        "model": model.id,
        "reference": spec.reference,
        "kind": spec.kind,
        "samples": spec.samples,
        "seed": spec.seed,
        "verdict": {"finding": said.finding, "quality": said.quality, "reasons": said.reasons},
        **found,
        "scores": [score.to_dict() for score in found["scores"]],
    }
    unmet = core.evaluation.unmet(work.trained.accept, said.finding, report["scores"])
    report["unmet"] = unmet
    told = json.dumps(report, ensure_ascii=False, allow_nan=False)
    stored = work.store(REPORT, told.encode())
    result = {"finding": said.finding, "quality": said.quality, "reasons": list(said.reasons)}
    result["unmet"] = unmet
    return partial(_finish, lease, [*work.files, (REPORT, stored, "application/json")], result)


def _finish(
    lease: Lease, files: list[tuple[str, Stored, str]], result: dict[str, Any], session: Session
) -> None:
    for name, stored, media_type in files:
        jobs.add_artifact(
            session, lease.claim, name=name, stored=stored, media_type=media_type, step=None
        )
    jobs.finish(session, lease.claim, result=result | {"report": REPORT})


class Work:
    def __init__(
        self,
        job: Job,
        lease: Lease,
        spec: EvaluationSpec,
        model: Model,
        dataset: Dataset,
        storage: Storage,
    ) -> None:
        self.spec, self.model, self.dataset, self.storage = spec, model, dataset, storage
        self._lease = lease
        self._job_id = job.id
        self._folder = (job.tenant_id, "jobs", job.id, str(lease.claim.token))
        self.trained = TrainingSpec.model_validate(model.manifest["config"])
        self.files: list[tuple[str, Stored, str]] = []

    def go_on(self) -> None:
        """Raises LeaseLost, and what the lease says when the work is to stop."""
        self._lease.check()
        if self._lease.stopping:
            raise self._lease.stopping
        self._lease.step += 1

    def store(self, name: str, data: bytes) -> Stored:
        return self.storage.put(key_of(*self._folder, name), data)

    def _picture(self, name: str, pixels: NDArray[np.uint8]) -> None:
        self.files.append((name, self.store(name, png(pixels)), "image/png"))

    def _generator(self) -> Generator:
        try:
            with self.storage.open(Stored.from_dict(self.model.weights)) as path:
                return load(path)
        except (DamagedObject, UnreadableCheckpoint) as error:
            raise JobError("model_unreadable", "the model's weights cannot be read") from error

    def images(self) -> dict[str, Any]:
        generator, learned = self._generator(), self.model.manifest["labels"]
        assert isinstance(generator, ImageSampler)  # noqa: S101 - it was trained as one
        made = self._drawn_images(generator, tuple(float(label["count"]) for label in learned))
        with self._held_out_images() as data:
            yardstick = self._yardstick(data, max(1, len(learned)))
            names = [label["name"] for label in learned]
            found = of_images.judge(
                yardstick, data, made, names, seed=self.spec.seed, go_on=self.go_on
            )
            real = data.held_out
            shown: dict[str, tuple[NDArray[np.uint8], NDArray[Any]]] = {
                "samples.png": made,
                "real.png": (np.asarray(data.pixels[real]), data.labels[real]),
            }
            rows = {}
            for file, (pixels, labels) in shown.items():
                places = np.unique(labels)[:LABELS_SHOWN]
                self._picture(file, _by_label(pixels, labels, places))
                rows[file] = [names[place] for place in places] if names else []
            places = found.neighbours[:GALLERY]
            pairs = np.stack([made[0][: len(places)], data.pixels[places]], 1)
            self._picture("nearest.png", sheet(pairs.reshape(-1, *pairs.shape[2:]), 8))
        told = {"held_out": len(real), "scores": found.scores, "picture_rows": rows}
        return told | found.views

    def _drawn_images(
        self, generator: ImageSampler, shares: tuple[float, ...]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        order = by_count(
            self.spec.samples, seed=self.spec.seed, offset=0, shares=shares, balance=False
        )
        pixels, labels = [], []
        for indices, numbers in order.batches(generator.batch):
            self.go_on()
            pixels.append(image_drawing.drawn(generator, order.seed, indices, numbers))
            labels.append(indices)
        return np.concatenate(pixels), np.concatenate(labels)

    @contextmanager
    def _held_out_images(self) -> Iterator[LabelledImages]:
        """The published test part as the held-out one, if there is one; or else the images that
        training held out, by the same seed and share."""
        n = self.dataset.summary["n_train"]
        with images_of(self.dataset, self.trained, self.storage) as data:
            if not self.dataset.summary["n_held_out"]:
                yield data
                return
        with images_of(self.dataset, self.trained, self.storage, published=True) as data:
            labelled = np.flatnonzero(data.labels != UNLABELLED)
            yield replace(
                data,
                train=labelled[labelled < n],
                held_out=labelled[labelled >= n],
                unlabelled=data.unlabelled[data.unlabelled < n],
            )

    def _yardstick(self, data: LabelledImages, classes: int) -> Yardstick:
        """The one that is kept with the data set, or a new one. It depends on what is held out."""
        published = bool(self.dataset.summary["n_held_out"])
        split = None if published else [self.trained.holdout, self.trained.seed]
        about = json.dumps([Yardstick.version, classes, split]).encode()
        name = f"yardstick-{hashlib.sha256(about).hexdigest()[:12]}"
        image = self.model.manifest["image"]
        shape = (image["channels"], image["height"], image["width"])
        if name in self.dataset.content:
            kept = self.storage.read(Stored.from_dict(self.dataset.content[name]))
            return Yardstick.unpack(kept, shape, classes)
        yardstick = Yardstick.learn(data, classes, self.go_on)
        key = key_of(self.dataset.tenant_id, "datasets", self.dataset.id, f"{name}-{self._job_id}")
        stored = self.storage.put(key, yardstick.pack())
        with write() as session:
            kept_with_it = datasets.keep(session, self.dataset, name, stored)
        if not kept_with_it:
            self.storage.delete([stored.key])
        return yardstick

    def rows(self) -> dict[str, Any]:
        generator = self._generator()
        assert isinstance(generator, RowSampler)  # noqa: S101 - it was trained as one
        order = of_all(self.spec.samples, [{}], seed=self.spec.seed, offset=0)
        batches = []
        for drawn in row_drawing.all_drawn(generator, order):
            self.go_on()
            batches.append(drawn.rows)
        made = pa.Table.from_batches(batches)
        with rows_of(self.dataset, self.trained, self.storage) as data:
            found = of_rows.judge(data, made, seed=self.spec.seed, go_on=self.go_on)
            held_out = len(data.held_out)
        return {"held_out": held_out, "scores": found.scores, **found.views}


def _by_label(
    pixels: NDArray[np.uint8], labels: NDArray[Any], shown: NDArray[Any]
) -> NDArray[np.uint8]:
    """A row for each of the labels shown, of which there are some images."""
    chosen = [np.resize(np.flatnonzero(labels == label), PICTURES) for label in shown]
    return sheet(pixels[np.concatenate(chosen)], PICTURES)
