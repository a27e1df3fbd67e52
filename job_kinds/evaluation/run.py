"""Evaluation job: compare samples of a model with real items that it was not trained on."""

import json
from typing import Any

import torch
from sqlalchemy.orm import Session

import core.evaluation
from core import jobs, model_registry
from core.database import read
from core.datasets import repository as datasets
from core.datasets.data_quality import describe
from core.errors import Conflict, JobError
from core.evaluation import REPORT, EvaluationSpec
from core.settings import get_settings
from core.storage import Storage, StoredObject, get_storage
from core.tables import Dataset, Job, Model
from job_kinds import process_device
from job_kinds.base import Finish
from job_kinds.evaluation.plan import check_unchanged
from job_kinds.lease import Lease
from modalities import registry
from modalities.evaluation import EvaluationInput, EvaluationOutput
from models.metrics.verdict import verdict_of


def evaluate(job: Job, lease: Lease) -> Finish:
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
        dataset = datasets.get_of_job(session, job)
    try:
        check_unchanged(model, dataset)  # a retried job is not planned again
    except Conflict as error:
        raise JobError("dataset_unreadable", error.detail) from error
    work = EvaluationJob(job, lease, spec, get_storage())
    lease.phase = "evaluating"
    evaluation = work.run(model, dataset)
    report = work.build_report(model, dataset, evaluation)
    pictures = {each.name: work.store(each.name, each.png) for each in evaluation.pictures}
    report_json = json.dumps(report, ensure_ascii=False, allow_nan=False)
    stored_report = work.store(REPORT, report_json.encode())
    result = {
        **report["verdict"],
        "failed_criteria": report["failed_criteria"],
        "scores": _main_scores(spec.modality, report["scores"]),
        "report": REPORT,
    }

    def finish(session: Session) -> None:
        for name, stored in pictures.items():
            jobs.add_artifact(
                session, lease.claim, name=name, stored=stored, media_type="image/png"
            )
        jobs.add_artifact(session, lease.claim, name=REPORT, stored=stored_report)
        jobs.finish(session, lease.claim, result=result)

    return finish


def _main_scores(modality: str, scores: list[dict[str, Any]]) -> dict[str, Any]:
    types = registry.evaluation_of(modality).score_types
    fields = ("value", "ci95", "real_reference")
    return {
        score["name"]: {field: score[field] for field in fields}
        for score in scores
        if score["name"] in types and types[score["name"]].is_main
    }


def _serious_issues(dataset: Dataset) -> list[str]:
    """Return the issues of the data that no score shows, such as real values of people."""
    return [
        f"the dataset has the issue `{issue['code']}`: {describe(issue)}"
        for issue in dataset.summary["issues"]
        if issue["severity"] == "error"
    ]


class EvaluationJob:
    def __init__(self, job: Job, lease: Lease, spec: EvaluationSpec, storage: Storage) -> None:
        self.spec = spec
        self._job_id, self._lease, self._storage = job.id, lease, storage

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

    def build_report(
        self, model: Model, dataset: Dataset, evaluation: EvaluationOutput
    ) -> dict[str, Any]:
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
                "reasons": [*verdict.reasons, *_serious_issues(dataset)],
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
        return self._storage.put(self._lease.claim.key_of(name), data)
