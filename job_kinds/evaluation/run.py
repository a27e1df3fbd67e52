"""Evaluation job: compare samples of a model with real items that it was not trained on."""

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
import modalities
from core import jobs, model_registry
from core.database import read, write
from core.datasets import repository as datasets
from core.errors import JobError
from core.evaluation import REPORT, EvaluationSpec
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, get_storage, key_of
from core.tables import Dataset, Job, Model
from job_kinds.lease import Lease
from modalities.image.encode import encode_png
from modalities.image.train import open_images
from modalities.tabular.train import open_table
from models.checkpoint import UnreadableCheckpoint
from models.images import batched_sampling as image_batches
from models.images.data import LabeledImages
from models.images.image_grid import make_grid
from models.images.sampling import ImageSampler
from models.images.sampling_plan import plan_by_count
from models.load import AnySampler, load_sampler
from models.metrics import image_evaluation, tabular_evaluation
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.verdict import verdict_of
from models.split import UNLABELED
from models.tabular import batched_sampling as row_batches
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import plan_total

GALLERY_IMAGES_PER_LABEL = 8
MAX_GALLERY_LABELS = 20
NEAREST_PAIRS = 24  # pairs of a sample and its nearest training image in nearest.png


def evaluate(job: Job, lease: Lease) -> "partial[None]":
    """Generate samples, evaluate them, and store the report.

    Returns:
        A function that finishes the job in one transaction.

    Raises:
        JobError: The job failed.
        LeaseLost, JobCancelled, JobPaused, WorkerStopping: See `Lease`.
    """
    torch.set_num_threads(get_settings().training_threads)
    spec = EvaluationSpec.model_validate(job.resolved)
    with read() as session:
        model = model_registry.get(session, job.tenant_id, spec.model)
        if job.dataset_id is None:
            raise JobError("dataset_unreadable", "The dataset was deleted.")
        dataset = datasets.get_ready(session, job.tenant_id, job.dataset_id)
    work = EvaluationJob(job, lease, spec, model, dataset, get_storage())
    lease.phase = "evaluating"
    evaluation = work.evaluate_images() if spec.modality == "image" else work.evaluate_rows()
    verdict = verdict_of(evaluation["scores"], evaluation["holdout_items"])
    report = {
        "model": model.id,
        "reference": spec.reference,
        "modality": spec.modality,
        "samples": spec.samples,
        "seed": spec.seed,
        "verdict": {
            "verdict": verdict.verdict,
            "quality": verdict.quality,
            "reasons": verdict.reasons,
        },
        **evaluation,
        "scores": [score.to_dict() for score in evaluation["scores"]],
    }
    failed_criteria = core.evaluation.failed_criteria(
        work.training_spec.quality_gate, verdict.verdict, report["scores"]
    )
    report["failed_criteria"] = failed_criteria
    report_json = json.dumps(report, ensure_ascii=False, allow_nan=False)
    stored = work.store(REPORT, report_json.encode())
    result = {
        "verdict": verdict.verdict,
        "quality": verdict.quality,
        "reasons": list(verdict.reasons),
        "failed_criteria": failed_criteria,
    }
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
        training_spec = modalities.get(model.modality).training_spec
        self.training_spec: Any = training_spec.model_validate(model.manifest["training"])
        self.files: list[tuple[str, StoredObject, str]] = []

    def check_stop(self) -> None:
        """Raise LeaseLost if the lease is lost, or the lease's exception if the work must stop."""
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
            raise JobError(
                "model_unreadable",
                "The model's weights are missing or damaged. Train or import the model again.",
            ) from error

    def evaluate_images(self) -> dict[str, Any]:
        sampler, labels = self._load_sampler(), self.model.manifest["labels"]
        assert isinstance(sampler, ImageSampler)  # noqa: S101 - it was trained as one
        label_weights = tuple(float(label["count"]) for label in labels)
        synthetic = self._generate_images(sampler, label_weights)
        with self._open_holdout_images() as data:
            classifier = self._evaluation_classifier(data, max(1, len(labels)))
            names = [label["name"] for label in labels]
            result = image_evaluation.evaluate(
                classifier, data, synthetic, names, seed=self.spec.seed, check_stop=self.check_stop
            )
            holdout = data.holdout
            galleries: dict[str, tuple[NDArray[np.uint8], NDArray[Any]]] = {
                "samples.png": synthetic,
                "real.png": (np.asarray(data.pixels[holdout]), data.labels[holdout]),
            }
            gallery_labels = {}
            for file, (pixels, label_indices) in galleries.items():
                shown = np.unique(label_indices)[:MAX_GALLERY_LABELS]
                self._store_image(file, _make_gallery(pixels, label_indices, shown))
                gallery_labels[file] = [names[label] for label in shown] if names else []
            nearest = result.nearest_train_indices[:NEAREST_PAIRS]
            pairs = np.stack([synthetic[0][: len(nearest)], data.pixels[nearest]], 1)
            self._store_image("nearest.png", make_grid(pairs.reshape(-1, *pairs.shape[2:]), 8))
        return {
            "holdout_items": len(holdout),
            "scores": result.scores,
            "gallery_labels": gallery_labels,
            **result.report_sections,
        }

    def _generate_images(
        self, sampler: ImageSampler, label_weights: tuple[float, ...]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        plan = plan_by_count(
            self.spec.samples,
            seed=self.spec.seed,
            offset=0,
            label_weights=label_weights,
            balance_labels=False,
        )
        pixels, labels = [], []
        for batch_labels, indices in plan.batches(sampler.batch_size):
            self.check_stop()
            batch = image_batches.generate_batch(sampler, plan.seed, batch_labels, indices)
            pixels.append(batch)
            labels.append(batch_labels)
        return np.concatenate(pixels), np.concatenate(labels)

    @contextmanager
    def _open_holdout_images(self) -> Iterator[LabeledImages]:
        """Open the dataset with its published test split as the holdout.

        Without a test split, the holdout is that of the training: same seed, same fraction.
        """
        n = self.dataset.summary["n_train"]
        with open_images(self.dataset, self.training_spec, self.storage) as data:
            if not self.dataset.summary["n_test"]:
                yield data
                return
        with open_images(
            self.dataset, self.training_spec, self.storage, include_test_split=True
        ) as data:
            labeled = np.flatnonzero(data.labels != UNLABELED)
            yield replace(
                data,
                train=labeled[labeled < n],
                holdout=labeled[labeled >= n],
                unlabeled=data.unlabeled[data.unlabeled < n],
            )

    def _evaluation_classifier(self, data: LabeledImages, classes: int) -> EvaluationClassifier:
        """Load the classifier stored with the dataset, or train and store a new one.

        All evaluations with the same holdout share one classifier, so their scores are comparable.
        """
        has_test_split = bool(self.dataset.summary["n_test"])
        split = (
            None
            if has_test_split
            else [self.training_spec.holdout_fraction, self.training_spec.seed]
        )
        version = json.dumps([EvaluationClassifier.version, classes, split]).encode()
        name = f"evaluation-classifier-{hashlib.sha256(version).hexdigest()[:12]}"
        image = self.model.manifest["image"]
        shape = (image["channels"], image["height"], image["width"])
        if name in self.dataset.objects:
            packed = self.storage.read(StoredObject.from_dict(self.dataset.objects[name]))
            return EvaluationClassifier.unpack(packed, shape, classes)
        classifier = EvaluationClassifier.fit(data, classes, self.check_stop)
        key = key_of(self.dataset.tenant_id, "datasets", self.dataset.id, f"{name}-{self._job_id}")
        stored = self.storage.put(key, classifier.pack())
        with write() as session:
            attached = datasets.attach_object(session, self.dataset, name, stored)
        if not attached:
            self.storage.delete([stored.key])
        return classifier

    def evaluate_rows(self) -> dict[str, Any]:
        sampler = self._load_sampler()
        assert isinstance(sampler, TableSampler)  # noqa: S101 - it was trained as one
        plan = plan_total(self.spec.samples, [{}], seed=self.spec.seed, offset=0)
        batches = []
        for batch in row_batches.iter_batches(sampler, plan):
            self.check_stop()
            batches.append(batch.rows)
        synthetic = pa.Table.from_batches(batches)
        with open_table(self.dataset, self.training_spec, self.storage) as data:
            result = tabular_evaluation.evaluate(
                data, synthetic, seed=self.spec.seed, check_stop=self.check_stop
            )
            holdout_items = len(data.holdout)
        return {"holdout_items": holdout_items, "scores": result.scores, **result.report_sections}


def _make_gallery(
    pixels: NDArray[np.uint8], labels: NDArray[Any], shown: NDArray[Any]
) -> NDArray[np.uint8]:
    """Return a grid with one row per label in `shown`, each of which must have images.

    A label with too few images repeats them.
    """
    indices = [
        np.resize(np.flatnonzero(labels == label), GALLERY_IMAGES_PER_LABEL) for label in shown
    ]
    return make_grid(pixels[np.concatenate(indices)], GALLERY_IMAGES_PER_LABEL)
