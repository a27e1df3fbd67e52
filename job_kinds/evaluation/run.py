"""Evaluation job: compare samples of a model with real items that it was not trained on."""

import json
from functools import partial
from typing import Any

import torch
from sqlalchemy.orm import Session

import core.evaluation
from core import jobs, model_registry
from core.database import read
from core.datasets import repository as datasets
from core.errors import Conflict, JobError
from core.evaluation import REPORT, EvaluationSpec
from core.settings import get_settings
from core.storage import Storage, StoredObject, get_storage, key_of
from core.tables import Dataset, Job, Model
from job_kinds import process_device
from job_kinds.evaluation.plan import check_unchanged
from job_kinds.lease import Lease
from modalities import registry
from modalities.evaluation import EvaluationInput, EvaluationOutput
from models.metrics.verdict import verdict_of

JSON, PNG = "application/json", "image/png"


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
    try:
        check_unchanged(model, dataset)  # a retried job is not planned again
    except Conflict as error:
        raise JobError("dataset_unreadable", error.detail) from error
    work = EvaluationJob(job, lease, spec, get_storage())
    lease.phase = "evaluating"
    evaluation = work.run(model, dataset)
    report = work.build_report(model, evaluation)
    files = [
        (picture.name, work.store(picture.name, picture.png), PNG)
        for picture in evaluation.pictures
    ]
    report_json = json.dumps(report, ensure_ascii=False, allow_nan=False)
    files.append((REPORT, work.store(REPORT, report_json.encode()), JSON))
    result = {
        **report["verdict"],
        "failed_criteria": report["failed_criteria"],
        "scores": _main_scores(spec.modality, report["scores"]),
    }
    return partial(_finish, lease, files, result)


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


def _main_scores(modality: str, scores: list[dict[str, Any]]) -> dict[str, Any]:
    types = registry.evaluation_of(modality).score_types
    fields = ("value", "ci95", "real_reference")
    return {
        score["name"]: {field: score[field] for field in fields}
        for score in scores
        if score["name"] in types and types[score["name"]].is_main
    }


class EvaluationJob:
    def __init__(self, job: Job, lease: Lease, spec: EvaluationSpec, storage: Storage) -> None:
        self.spec = spec
        self._job_id, self._lease, self._storage = job.id, lease, storage
        self._folder = (job.tenant_id, "jobs", job.id, str(lease.claim.fencing_token))

    def check_stop(self) -> None:
        """Raise LeaseLost if the lease is lost, or the lease's exception if the work must stop."""
        self._lease.check()
        if self._lease.stopping:
            raise self._lease.stopping
        self._lease.step += 1

    def run(self, model: Model, dataset: Dataset) -> EvaluationOutput:
        modality = registry.evaluation_of(self.spec.modality)
        return modality.evaluate(
            EvaluationInput(
                job_id=self._job_id,
                modality=registry.get(self.spec.modality),
                model=model,
                dataset=dataset,
                samples=self.spec.samples,
                seed=self.spec.seed,
                storage=self._storage,
                device=process_device.require(),
                check_stop=self.check_stop,
            )
        )

    def build_report(self, model: Model, evaluation: EvaluationOutput) -> dict[str, Any]:
        score_types = registry.evaluation_of(self.spec.modality).score_types
        verdict = verdict_of(evaluation.scores, evaluation.holdout_items, score_types)
        scores = [score.to_dict() for score in evaluation.scores]
        training_spec = registry.get(model.modality).training_spec
        quality_gate = training_spec.model_validate(model.manifest["training"]).quality_gate
        return {
            "model": model.id,
            "reference": self.spec.reference,
            "modality": self.spec.modality,
            "samples": self.spec.samples,
            "seed": self.spec.seed,
            "verdict": {
                "verdict": verdict.verdict,
                "quality": verdict.quality,
                "reasons": list(verdict.reasons),
            },
            "holdout_items": evaluation.holdout_items,
            "scores": scores,
            "pictures": {picture.name: picture.title for picture in evaluation.pictures},
            **evaluation.sections,
            "failed_criteria": core.evaluation.failed_criteria(
                quality_gate, verdict.verdict, scores
            ),
        }

    def store(self, name: str, data: bytes) -> StoredObject:
        return self._storage.put(key_of(*self._folder, name), data)
