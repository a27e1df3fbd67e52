"""Augmentation job: generate a larger dataset, then measure its benefit to a classifier (lift).

Completed steps are stored as artifacts of the job, so that another worker can resume from them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from sqlalchemy.orm import Session

from core import jobs, model_registry
from core.augmentation import REPORT, AugmentationSpec
from core.database import read, transact
from core.datasets import repository as datasets
from core.datasets.repository import NewDataset
from core.errors import JobError, SemblanceError
from core.ids import new_id
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, get_storage
from core.tables import Job
from job_kinds import process_device
from job_kinds.augmentation.items import PROVENANCE_FILE, write_dataset
from job_kinds.augmentation.lift_experiment import LiftExperiment
from job_kinds.base import Finish
from job_kinds.job_errors import TRANSIENT_ERRORS
from job_kinds.lease import Lease
from modalities import ingestion, registry
from modalities.augmentation import AugmentationInput, Augmenter

# Artifacts that a later attempt resumes from.
GENERATED, TRAININGS = "generated.json", "trainings.json"


def augment(job: Job, lease: Lease) -> Finish:
    """Generate the dataset, measure the lift if requested, and store the report.

    Returns:
        A function that adds the dataset and finishes the job in one transaction.

    Raises:
        JobError: The job failed.
        LeaseLost, JobCancelled, JobPaused, WorkerStopping: See `Lease`.
    """
    torch.set_num_threads(get_settings().training_threads)
    work = AugmentationJob(job, lease, get_storage())
    with work.open_inputs() as (inputs, augmenter):
        lease.phase = "generating"
        generated = work.load_json(GENERATED) or work.generate_dataset(inputs, augmenter)
        report: dict[str, Any] = {
            "dataset": work.spec.dataset,
            "model": work.spec.reference,
            "seed": work.spec.seed,
            "labels": [label.model_dump() for label in work.spec.labels],
        }
        if work.spec.evaluate_lift:
            lease.phase = "evaluating"
            report |= work.evaluate_lift(inputs, augmenter)
    stored = work.store_json(REPORT, report)
    return partial(_finish, job, lease, work.spec, generated, report, stored)


def _finish(
    job: Job,
    lease: Lease,
    spec: AugmentationSpec,
    generated: dict[str, Any],
    report: dict[str, Any],
    stored: StoredObject,
    session: Session,
) -> None:
    jobs.add_artifact(session, lease.claim, name=REPORT, stored=stored)
    objects = {
        name: StoredObject.from_dict(fields) for name, fields in generated["content"].items()
    }
    dataset = datasets.add_ready(
        session,
        job.tenant_id,
        new_id("ds"),
        NewDataset(name=spec.name, tags=job.tags, options={}, modality=spec.modality),
        sources=[],
        objects=objects,
        summary=generated["summary"] | {"derived_from": _derived_from(job, spec)},
    )
    result = {
        "dataset": dataset.id,
        "items": spec.items,
        "synthetic": spec.synthetic,
        "report": REPORT,
    }
    lift_sections = {name: report[name] for name in ("lift", "recommendation") if name in report}
    jobs.finish(session, lease.claim, result=result | lift_sections)


def _derived_from(job: Job, spec: AugmentationSpec) -> dict[str, Any]:
    counts = {
        "real": sum(label.real for label in spec.labels) if spec.include_real else 0,
        "transforms": sum(label.transforms for label in spec.labels),
        "model": sum(label.model for label in spec.labels),
    }
    return {"job": job.id, "dataset": spec.dataset, "model": spec.model, "items": counts}


class AugmentationJob:
    def __init__(self, job: Job, lease: Lease, storage: Storage) -> None:
        """Load the dataset and model.

        Raises:
            JobError: The dataset was deleted.
        """
        self.spec = AugmentationSpec.model_validate(job.resolved)
        self._modality = registry.augmentation_of(self.spec.modality)
        self._job, self._lease, self._storage = job, lease, storage
        with read() as session:
            self._dataset = datasets.get_of_job(session, job)
            self._model = (
                model_registry.get(session, job.tenant_id, self.spec.model)
                if self.spec.model
                else None
            )

    def check_stop(self) -> None:
        """Raise LeaseLost if the lease is lost, or the lease's exception if the work must stop."""
        self._lease.check()
        if self._lease.stopping:
            raise self._lease.stopping
        self._lease.step += 1

    @contextmanager
    def open_inputs(self) -> Iterator[tuple[AugmentationInput, Augmenter]]:
        """Split the dataset as the plan did, and open it and the model.

        Raises:
            JobError: The dataset is damaged, or does not have the label counts of the plan.
        """
        try:
            labels = self._modality.read_labels(self._dataset, self._storage)
            train, holdout = self._modality.holdout_split(
                labels, self.spec.holdout_fraction, self.spec.holdout_seed
            )
            train, holdout = train[labels[train] >= 0], holdout[labels[holdout] >= 0]
            real_counts = np.bincount(labels[train], minlength=len(self.spec.labels)).tolist()
            if real_counts != [label.real for label in self.spec.labels]:
                raise JobError(
                    "dataset_unreadable",
                    "The dataset was changed after the job was created; create the job again.",
                )
            inputs = AugmentationInput(
                dataset=self._dataset,
                model=self._model,
                spec=self.spec,
                storage=self._storage,
                device=process_device.require(),
                check_stop=self.check_stop,
                labels=labels,
                train=train,
                holdout=holdout,
            )
            with self._modality.open_augmenter(inputs) as augmenter:
                yield inputs, augmenter
        except ObjectCorrupted as error:
            raise JobError("dataset_unreadable", f"{error} Upload the dataset again.") from error

    def generate_dataset(self, inputs: AugmentationInput, augmenter: Augmenter) -> dict[str, Any]:
        """Store the files of the new dataset under this claim; return them and its summary."""
        object_files = registry.get(self.spec.modality).object_files
        key_of = self._lease.claim.key_of
        with ingestion.working_folder() as folder:
            try:
                summary = write_dataset(inputs, augmenter, folder)
            except SemblanceError as error:
                if isinstance(error, TRANSIENT_ERRORS):
                    raise
                raise JobError("internal", f"The new dataset is invalid: {error.detail}") from error
            objects = {
                name: self._storage.put_file(key_of(file), folder / file).to_dict()
                for name, file in {**object_files, "provenance": PROVENANCE_FILE}.items()
            }
        generated = {"content": objects, "summary": summary}
        self.save_json(GENERATED, generated)
        return generated

    def evaluate_lift(self, inputs: AugmentationInput, augmenter: Augmenter) -> dict[str, Any]:
        """Train classifiers until all rounds are done or the CPU budget is used; return the report.

        The results of earlier attempts count.
        """
        experiment = LiftExperiment.prepare(inputs, augmenter, self._modality.min_real_items)
        saved = self.load_json(TRAININGS) or {"trainings": [], "cpu_s": 0.0}
        cpu_start: float = self._lease.usage.snapshot()["cpu_s"] - saved["cpu_s"]

        def used_cpu_s() -> float:
            return self._lease.usage.snapshot()["cpu_s"] - cpu_start

        def save(trainings: list[dict[str, Any]]) -> None:
            fraction = min(1.0, used_cpu_s() / self.spec.lift_cpu_seconds)
            self._lease.progress = {"percent": round(100 * fraction, 1)}
            self.save_json(TRAININGS, {"trainings": trainings, "cpu_s": round(used_cpu_s(), 2)})

        report = experiment.run(
            saved["trainings"],
            has_time=lambda: used_cpu_s() < self.spec.lift_cpu_seconds,
            save=save,
        )
        return report | {"cpu_s": round(used_cpu_s(), 2)}

    def load_json(self, name: str) -> dict[str, Any] | None:
        """Return an artifact of an earlier attempt; None if it is missing or damaged."""
        with read() as session:
            artifact = jobs.get_artifact(session, self._job.tenant_id, self._job.id, name)
        if artifact is None:
            return None
        try:
            stored = StoredObject.of(artifact)
            value: dict[str, Any] = json.loads(self._storage.read(stored))
        except ObjectCorrupted:
            return None
        return value

    def save_json(self, name: str, value: dict[str, Any]) -> None:
        """Store an artifact that a later attempt can load.

        Raises:
            LeaseLost: Another worker has the job.
        """
        stored, claim = self.store_json(name, value), self._lease.claim
        transact(lambda session: jobs.add_artifact(session, claim, name=name, stored=stored))

    def store_json(self, name: str, value: dict[str, Any]) -> StoredObject:
        key = self._lease.claim.key_of(name)
        return self._storage.put(key, json.dumps(value, ensure_ascii=False).encode())
