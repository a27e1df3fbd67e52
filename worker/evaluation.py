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
from core import jobs, model_registry
from core.database import read, write
from core.datasets import repository as datasets
from core.datasets.images.writing import encode_png
from core.errors import JobError
from core.evaluation import REPORT, EvaluationSpec
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, get_storage, key_of
from core.tables import Dataset, Job, Model
from core.training import TrainingSpec
from models.checkpoint import UnreadableCheckpoint
from models.images import batched_sampling as image_batches
from models.images.data import LabeledImages
from models.images.image_grid import make_grid
from models.images.sampling import ImageSampler
from models.images.sampling_plan import plan_by_count
from models.load import AnySampler, load_sampler
from models.metrics import image_evaluation as of_images
from models.metrics import tabular_evaluation as of_rows
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.verdict import verdict_of
from models.split import UNLABELED
from models.tabular import batched_sampling as row_batches
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import plan_total
from worker.lease import Lease
from worker.training_data import open_images, open_table

IMAGES_PER_LABEL = 8  # of each label
MAX_GALLERY_LABELS = 20
NEAREST_PAIRS = 24  # samples beside the nearest training image


def evaluate(job: Job, lease: Lease) -> "partial[None]":
    """Draw, measure, store the report; what is returned ends the job within a transaction.

    Raises JobError, and whatever the lease raises when the job is to stop.
    """
    torch.set_num_threads(get_settings().training_threads)
    spec = EvaluationSpec.model_validate(job.resolved)
    with read() as session:
        model = model_registry.get(session, job.tenant_id, spec.model)
        if job.dataset_id is None:
            raise JobError("dataset_unreadable", "the dataset was deleted")
        dataset = datasets.get_ready(session, job.tenant_id, job.dataset_id)
    work = EvaluationJob(job, lease, spec, model, dataset, get_storage())
    lease.phase = "evaluating"
    found = work.evaluate_images() if spec.modality == "image" else work.evaluate_rows()
    said = verdict_of(found["scores"], found["holdout_items"])
    report = {
        "model": model.id,
        "reference": spec.reference,
        "modality": spec.modality,
        "samples": spec.samples,
        "seed": spec.seed,
        "verdict": {"verdict": said.verdict, "quality": said.quality, "reasons": said.reasons},
        **found,
        "scores": [score.to_dict() for score in found["scores"]],
    }
    unmet = core.evaluation.failed_criteria(
        work.training_spec.quality_gate, said.verdict, report["scores"]
    )
    report["failed_criteria"] = unmet
    told = json.dumps(report, ensure_ascii=False, allow_nan=False)
    stored = work.store(REPORT, told.encode())
    result = {"verdict": said.verdict, "quality": said.quality, "reasons": list(said.reasons)}
    result["failed_criteria"] = unmet
    return partial(_finish, lease, [*work.files, (REPORT, stored, "application/json")], result)


def _finish(
    lease: Lease,
    files: list[tuple[str, StoredObject, str]],
    result: dict[str, Any],
    session: Session,
) -> None:
    for name, stored, media_type in files:
        jobs.add_artifact(
            session, lease.claim, name=name, stored=stored, media_type=media_type, step=None
        )
    jobs.finish(session, lease.claim, result=result | {"report": REPORT})


class EvaluationJob:
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
        self._folder = (job.tenant_id, "jobs", job.id, str(lease.claim.fencing_token))
        self.training_spec = TrainingSpec.model_validate(model.manifest["training"])
        self.files: list[tuple[str, StoredObject, str]] = []

    def check_stop(self) -> None:
        """Raises LeaseLost, and what the lease says when the work is to stop."""
        self._lease.check()
        if self._lease.stopping:
            raise self._lease.stopping
        self._lease.step += 1

    def store(self, name: str, data: bytes) -> StoredObject:
        return self.storage.put(key_of(*self._folder, name), data)

    def _store_image(self, name: str, pixels: NDArray[np.uint8]) -> None:
        self.files.append((name, self.store(name, encode_png(pixels)), "image/png"))

    def _load_sampler(self) -> AnySampler:
        try:
            with self.storage.open(StoredObject.from_dict(self.model.weights)) as path:
                return load_sampler(path)
        except (ObjectCorrupted, UnreadableCheckpoint) as error:
            raise JobError("model_unreadable", "the model's weights cannot be read") from error

    def evaluate_images(self) -> dict[str, Any]:
        generator, learned = self._load_sampler(), self.model.manifest["labels"]
        assert isinstance(generator, ImageSampler)  # noqa: S101 - it was trained as one
        made = self._generate_images(generator, tuple(float(label["count"]) for label in learned))
        with self._open_holdout_images() as data:
            yardstick = self._evaluation_classifier(data, max(1, len(learned)))
            names = [label["name"] for label in learned]
            found = of_images.evaluate(
                yardstick, data, made, names, seed=self.spec.seed, check_stop=self.check_stop
            )
            real = data.holdout
            shown: dict[str, tuple[NDArray[np.uint8], NDArray[Any]]] = {
                "samples.png": made,
                "real.png": (np.asarray(data.pixels[real]), data.labels[real]),
            }
            rows = {}
            for file, (pixels, labels) in shown.items():
                places = np.unique(labels)[:MAX_GALLERY_LABELS]
                self._store_image(file, _by_label(pixels, labels, places))
                rows[file] = [names[place] for place in places] if names else []
            places = found.nearest_train_indices[:NEAREST_PAIRS]
            pairs = np.stack([made[0][: len(places)], data.pixels[places]], 1)
            self._store_image("nearest.png", make_grid(pairs.reshape(-1, *pairs.shape[2:]), 8))
        told = {"holdout_items": len(real), "scores": found.scores, "gallery_labels": rows}
        return told | found.report_sections

    def _generate_images(
        self, generator: ImageSampler, shares: tuple[float, ...]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        order = plan_by_count(
            self.spec.samples,
            seed=self.spec.seed,
            offset=0,
            label_weights=shares,
            balance_labels=False,
        )
        pixels, labels = [], []
        for indices, numbers in order.batches(generator.batch_size):
            self.check_stop()
            pixels.append(image_batches.generate_batch(generator, order.seed, indices, numbers))
            labels.append(indices)
        return np.concatenate(pixels), np.concatenate(labels)

    @contextmanager
    def _open_holdout_images(self) -> Iterator[LabeledImages]:
        """The published test part as the held-out one, if there is one; or else the images that
        training held out, by the same seed and share."""
        n = self.dataset.summary["n_train"]
        with open_images(self.dataset, self.training_spec, self.storage) as data:
            if not self.dataset.summary["n_test"]:
                yield data
                return
        with open_images(
            self.dataset, self.training_spec, self.storage, include_test_split=True
        ) as data:
            labelled = np.flatnonzero(data.labels != UNLABELED)
            yield replace(
                data,
                train=labelled[labelled < n],
                holdout=labelled[labelled >= n],
                unlabeled=data.unlabeled[data.unlabeled < n],
            )

    def _evaluation_classifier(self, data: LabeledImages, classes: int) -> EvaluationClassifier:
        """The one that is kept with the data set, or a new one. It depends on what is held out."""
        published = bool(self.dataset.summary["n_test"])
        split = (
            None if published else [self.training_spec.holdout_fraction, self.training_spec.seed]
        )
        about = json.dumps([EvaluationClassifier.version, classes, split]).encode()
        name = f"evaluation-classifier-{hashlib.sha256(about).hexdigest()[:12]}"
        image = self.model.manifest["image"]
        shape = (image["channels"], image["height"], image["width"])
        if name in self.dataset.objects:
            kept = self.storage.read(StoredObject.from_dict(self.dataset.objects[name]))
            return EvaluationClassifier.unpack(kept, shape, classes)
        yardstick = EvaluationClassifier.fit(data, classes, self.check_stop)
        key = key_of(self.dataset.tenant_id, "datasets", self.dataset.id, f"{name}-{self._job_id}")
        stored = self.storage.put(key, yardstick.pack())
        with write() as session:
            kept_with_it = datasets.attach_object(session, self.dataset, name, stored)
        if not kept_with_it:
            self.storage.delete([stored.key])
        return yardstick

    def evaluate_rows(self) -> dict[str, Any]:
        generator = self._load_sampler()
        assert isinstance(generator, TableSampler)  # noqa: S101 - it was trained as one
        order = plan_total(self.spec.samples, [{}], seed=self.spec.seed, offset=0)
        batches = []
        for drawn in row_batches.iter_batches(generator, order):
            self.check_stop()
            batches.append(drawn.rows)
        made = pa.Table.from_batches(batches)
        with open_table(self.dataset, self.training_spec, self.storage) as data:
            found = of_rows.evaluate(data, made, seed=self.spec.seed, check_stop=self.check_stop)
            held_out = len(data.holdout)
        return {"holdout_items": held_out, "scores": found.scores, **found.report_sections}


def _by_label(
    pixels: NDArray[np.uint8], labels: NDArray[Any], shown: NDArray[Any]
) -> NDArray[np.uint8]:
    """A row for each of the labels shown, of which there are some images."""
    chosen = [np.resize(np.flatnonzero(labels == label), IMAGES_PER_LABEL) for label in shown]
    return make_grid(pixels[np.concatenate(chosen)], IMAGES_PER_LABEL)
