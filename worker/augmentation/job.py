"""An augmentation job: a larger dataset, made once and kept, and then what it is worth.

What is done is named in the job's artifacts as it goes, so that another worker goes on from there.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sqlalchemy.orm import Session

from core import jobs, model_registry
from core.augmentation import REPORT, AugmentationSpec
from core.database import read, write
from core.datasets import ingestion
from core.datasets import repository as datasets
from core.datasets.repository import NewDataset
from core.datasets.tabular import Schema
from core.datasets.tabular.typed_parquet import typed_batches
from core.errors import JobError, SemblanceError
from core.ids import new_id
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, get_storage, key_of
from core.tables import Dataset, Job
from models.augmentation import learning_curve, lift
from models.augmentation.lift import Lift, TrainingResult
from worker.augmentation.context import AugmentationContext, DatasetAugmenter, LiftExperiment
from worker.augmentation.images import ImageAugmenter
from worker.augmentation.tabular import TableAugmenter
from worker.job_errors import TRANSIENT_ERRORS
from worker.lease import Lease

GENERATED, TRAININGS = (
    "generated.json",
    "trainings.json",
)  # what a worker that comes after goes on from
PROVENANCE = {"provenance": "provenance.ndjson"}


def augment(job: Job, lease: Lease) -> "partial[None]":
    """Make the set, measure it if asked to, store the report; what is returned adds the dataset and
    ends the job within one transaction.

    Raises JobError, and whatever the lease raises when the job is to stop.
    """
    torch.set_num_threads(get_settings().training_threads)
    work = AugmentationJob(job, lease, get_storage())
    with work.open_augmenter() as material:
        lease.phase = "generating"
        made = work.load_json(GENERATED) or work.generate_dataset(material)
        report: dict[str, Any] = {"dataset": work.spec.dataset, "model": work.spec.reference}
        report |= {"seed": work.spec.seed, "labels": [x.model_dump() for x in work.spec.labels]}
        if work.spec.evaluate_lift:
            lease.phase = "evaluating"
            report |= work.evaluate_lift(material)
    stored = work.store_json(REPORT, report)
    return partial(_finish, job, lease, work.spec, made, report, stored)


def _finish(
    job: Job,
    lease: Lease,
    spec: AugmentationSpec,
    generated: dict[str, Any],
    report: dict[str, Any],
    stored: StoredObject,
    session: Session,
) -> None:
    _add_artifact(session, lease, REPORT, stored)
    content = {
        name: StoredObject.from_dict(fields) for name, fields in generated["content"].items()
    }
    dataset = datasets.add_ready(
        session,
        job.tenant_id,
        new_id("ds"),
        NewDataset(name=spec.name, tags=job.tags, options={}, modality=spec.modality),
        objects=content,
        summary=generated["summary"] | {"derived_from": _origin(job, spec)},
    )
    about = {
        "dataset": dataset.id,
        "items": spec.items,
        "synthetic": spec.synthetic,
        "report": REPORT,
    }
    found = {name: report[name] for name in ("lift", "recommendation") if name in report}
    jobs.finish(session, lease.claim, result=about | found)


def _add_artifact(session: Session, lease: Lease, name: str, stored: StoredObject) -> None:
    media_type = "application/json"
    jobs.add_artifact(
        session, lease.claim, name=name, stored=stored, media_type=media_type, step=None
    )


def _origin(job: Job, spec: AugmentationSpec) -> dict[str, Any]:
    counts = {
        "real": sum(label.real for label in spec.labels) if spec.include_real else 0,
        "transforms": sum(label.transforms for label in spec.labels),
        "model": sum(label.model for label in spec.labels),
    }
    return {"job": job.id, "dataset": spec.dataset, "model": spec.model, "items": counts}


class AugmentationJob:
    def __init__(self, job: Job, lease: Lease, storage: Storage) -> None:
        """Raises JobError when the dataset is gone."""
        self.spec = AugmentationSpec.model_validate(job.resolved)
        self._job, self._lease, self._storage = job, lease, storage
        with read() as session:
            if job.dataset_id is None:
                raise JobError("dataset_unreadable", "the dataset was deleted")
            self._dataset = datasets.get_ready(session, job.tenant_id, job.dataset_id)
            self._model = (
                model_registry.get(session, job.tenant_id, self.spec.model)
                if self.spec.model
                else None
            )

    def check_stop(self) -> None:
        """Raises LeaseLost, and what the lease says when the work is to stop."""
        self._lease.check()
        if self._lease.stopping:
            raise self._lease.stopping
        self._lease.step += 1

    @contextmanager
    def open_augmenter(self) -> Iterator[DatasetAugmenter]:
        """The dataset opened, for as long as it is worked with."""
        storage, content = self._storage, self._dataset.objects
        try:
            ground = AugmentationContext.of(
                self._dataset, self._model, self.spec, storage, self.check_stop
            )
            if self.spec.modality == "tabular":
                yield TableAugmenter(ground, _table(self._dataset, storage))
                return
            x, y = (StoredObject.from_dict(content[name]) for name in ("x", "y"))
            with storage.open(x) as pixels, storage.open(y) as labels:
                yield ImageAugmenter(
                    ground,
                    np.load(pixels, mmap_mode="r", allow_pickle=False),
                    np.load(labels, allow_pickle=False),
                )
        except ObjectCorrupted as error:
            raise JobError("dataset_unreadable", f"{error}; upload the dataset again") from error

    def generate_dataset(self, augmenter: DatasetAugmenter) -> dict[str, Any]:
        """The objects of the new dataset, stored under this claim, and its summary."""
        objects = ingestion.OBJECT_FILES[self.spec.modality] | PROVENANCE
        with ingestion.working_folder() as folder:
            try:
                summary = augmenter.write(folder)
            except SemblanceError as error:
                if isinstance(error, TRANSIENT_ERRORS):
                    raise
                raise JobError("internal", f"the new set cannot be kept: {error.detail}") from error
            content = {
                name: self._storage.put_file(self._key(file), folder / file).to_dict()
                for name, file in objects.items()
            }
        made = {"content": content, "summary": summary}
        self.save_json(GENERATED, made)
        return made

    def evaluate_lift(self, augmenter: DatasetAugmenter) -> dict[str, Any]:
        """Trainings until there are enough, or no time is left."""
        trial = augmenter.lift_experiment()
        kept = self.load_json(TRAININGS) or {"trainings": [], "cpu_s": 0.0}
        began: float = self._lease.usage.snapshot()["cpu_s"] - kept["cpu_s"]

        def used() -> float:
            return self._lease.usage.snapshot()["cpu_s"] - began

        def save(done: Sequence[TrainingResult]) -> None:
            share = min(1.0, used() / self.spec.lift_cpu_seconds)
            self._lease.progress = {"percent": round(100 * share, 1)}
            told = [one.to_dict() for one in done]
            self.save_json(TRAININGS, {"trainings": told, "cpu_s": round(used(), 2)})

        done = lift.run_trainings(
            trial.pool.sets,
            trial.pool.labels,
            trial.learn,
            seed=self.spec.seed,
            done=[TrainingResult.from_dict(one, len(trial.truth)) for one in kept["trainings"]],
            has_time=lambda: used() < self.spec.lift_cpu_seconds,
            save=save,
        )
        return self._lift_report(trial, done) | {"cpu_s": round(used(), 2)}

    def _lift_report(
        self, experiment: LiftExperiment, done: Sequence[TrainingResult]
    ) -> dict[str, Any]:
        rounds, with_parts = lift.count_complete_rounds(done, len(experiment.pool.sets))
        if rounds < lift.MIN_ROUNDS:
            why = f"whole rounds done in time: {rounds}, and {lift.MIN_ROUNDS} are needed"
            reason = f"{why}; raise `lift_cpu_seconds`"
            return {
                "lift": None,
                "learning_curve": None,
                "recommendation": {"use": None, "reason": reason},
            }
        found = Lift.from_results(done, rounds, experiment.truth)
        use = lift.recommend(found)
        return {
            "lift": found.to_dict([label.name for label in self.spec.labels]),
            "learning_curve": learning_curve.equivalent_real_items(
                done, with_parts, experiment.truth, self.spec.seed
            )
            if with_parts >= lift.MIN_ROUNDS
            else None,
            "recommendation": {"use": use.use, "reason": use.reason},
        }

    def load_json(self, name: str) -> dict[str, Any] | None:
        """What an earlier claim has left, if it is whole."""
        with read() as session:
            artifact = jobs.get_artifact(session, self._job.tenant_id, self._job.id, name)
        if artifact is None:
            return None
        try:
            stored = StoredObject(artifact.key, artifact.bytes, artifact.sha256)
            found: dict[str, Any] = json.loads(self._storage.read(stored))
        except ObjectCorrupted:
            return None
        return found

    def save_json(self, name: str, value: dict[str, Any]) -> None:
        """Raises LeaseLost."""
        stored = self.store_json(name, value)
        with write() as session:
            _add_artifact(session, self._lease, name, stored)

    def store_json(self, name: str, value: dict[str, Any]) -> StoredObject:
        return self._storage.put(self._key(name), json.dumps(value, ensure_ascii=False).encode())

    def _key(self, file: str) -> str:
        return key_of(
            self._job.tenant_id, "jobs", self._job.id, str(self._lease.claim.fencing_token), file
        )


def _table(dataset: Dataset, storage: Storage) -> pa.Table:
    columns = Schema.from_dict(dataset.summary).columns
    with storage.open(StoredObject.from_dict(dataset.objects["rows"])) as path:
        return pa.Table.from_batches(list(typed_batches(path, columns)))
