"""Comparison of models: their scores, their training cost, and the best model for each score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app import model_report
from app.model_report import EvaluationRecord
from app.schemas.comparison import BestModel, CheckpointMetrics, Comparison, ModelSummary
from app.schemas.reports import ScoreView
from core import jobs
from core.storage import Storage
from core.tables import Checkpoint, Dataset, Model
from job_kinds.request import WarningView


@dataclass(frozen=True)
class ComparisonRecord:
    """Database rows that describe one model of a comparison."""

    model: Model
    report: EvaluationRecord
    usage: dict[str, float]
    checkpoints: Sequence[Checkpoint]
    holdout_key: object  # equal keys: the models were evaluated on the same real items


def load_record(session: Session, model: Model) -> ComparisonRecord:
    report = model_report.load_evaluations(session, model)
    holdout_key = _holdout_key(session, model)
    if model.job_id is None:
        return ComparisonRecord(model, report, {}, (), holdout_key)
    usage = jobs.get(session, model.tenant_id, model.job_id).usage
    checkpoints = jobs.checkpoints_of(session, model.tenant_id, model.job_id)
    return ComparisonRecord(model, report, usage, checkpoints, holdout_key)


def _holdout_key(session: Session, model: Model) -> object:
    """Return a value that is equal for models evaluated on the same items of a dataset.

    These items are the published test split where there is one. Otherwise they are the holdout
    of the training, which depends on its fraction and seed.
    """
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id is not None else None
    if dataset is not None and dataset.summary["n_test"]:
        return "published"
    config = model.manifest["training"]
    return config.get("holdout_fraction"), config.get("seed")


def compare(records: Sequence[ComparisonRecord], storage: Storage) -> Comparison:
    models = [_summarize(record, storage) for record in records]
    evaluated = [model for model in models if model.scores]
    # Scores on different datasets come from different evaluation classifiers and real items, so
    # they do not rank models.
    best = best_models(models) if len({model.dataset for model in evaluated}) < 2 else {}
    holdout_keys = {
        record.holdout_key for record, model in zip(records, models, strict=True) if model.scores
    }
    return Comparison(models=models, best=best, warnings=_warnings(models, len(holdout_keys) < 2))


def _summarize(record: ComparisonRecord, storage: Storage) -> ModelSummary:
    model = record.model
    report = model_report.build_report(model, record.report, storage)
    config = model.manifest["training"]
    training: dict[str, Any] = {
        "preset": config.get("preset"),
        "architecture": config["hyperparameters"].get("architecture"),
        "step": model.step,
        "parameters": model.manifest["parameters"],
        "seed": config.get("seed"),
        "cpu_s": record.usage.get("cpu_s"),
    }
    return ModelSummary(
        model=model.id,
        reference=report.reference,
        modality=model.modality,
        dataset=model.dataset_id,
        state=report.state,
        verdict=report.verdict,
        failed_criteria=report.failed_criteria,
        samples=report.samples,
        holdout_items=report.holdout_items,
        scores={score.name: score for score in report.scores},
        training=training,
        checkpoints=[CheckpointMetrics(step=c.step, metrics=c.metrics) for c in record.checkpoints],
    )


def best_models(models: Sequence[ModelSummary]) -> dict[str, BestModel]:
    """Return the best model for each score that at least two models have.

    A score whose best value is shared by two models has no best model. The best model is
    `significant` if its 95 % interval does not overlap the interval of any other model.
    """
    best = {}
    for name in dict.fromkeys(name for model in models for name in model.scores):
        scores = {model.reference: model.scores[name] for model in models if name in model.scores}
        if len(scores) < 2:
            continue
        ranges = {reference: _badness_range(score) for reference, score in scores.items()}
        first, *others = sorted(ranges, key=lambda reference: ranges[reference][1])
        if ranges[first][1] == ranges[others[0]][1]:
            continue
        significant = all(ranges[first][2] < ranges[other][0] for other in others)
        best[name] = BestModel(reference=first, significant=significant)
    return best


def _badness_range(score: ScoreView) -> tuple[float, float, float]:
    """Return the score and its interval as (lower bound, value, upper bound), lower being better.

    Scores for which higher is better are negated. Scores with a target become distances to .5.
    """
    low, high = score.ci95
    if score.direction == "higher":
        return -high, -score.value, -low
    if score.direction == "lower":
        return low, score.value, high
    distances = abs(low - 0.5), abs(high - 0.5)
    smallest = 0.0 if low <= 0.5 <= high else min(distances)
    return smallest, abs(score.value - 0.5), max(distances)


_WITHOUT_SCORES = {
    "not_evaluated": "it has not been evaluated",
    "evaluating": "its evaluation has not ended",
    "evaluated": "its report has none",
    "failed": "its evaluation failed",
    "cancelled": "its evaluation was cancelled",
}


def _warnings(models: Sequence[ModelSummary], same_items: bool) -> list[WarningView]:
    evaluated = [model for model in models if model.scores]
    warnings = [
        WarningView(
            code="no_scores",
            message=f"{model.reference} has no scores: {_WITHOUT_SCORES[model.state]}.",
        )
        for model in models
        if not model.scores
    ]
    if len({model.dataset for model in evaluated}) > 1:
        warnings.append(
            WarningView(
                code="different_datasets",
                message="The models were evaluated on different datasets, so none of "
                "them is marked as the best.",
            )
        )
    elif not same_items:
        warnings.append(
            WarningView(
                code="different_holdouts",
                message="The models were evaluated on different holdouts of the dataset. For "
                "comparable scores, train with the same `seed` and `holdout_fraction`.",
            )
        )
    if len({model.samples for model in evaluated}) > 1:
        warnings.append(
            WarningView(
                code="different_sample_counts",
                message="The models were evaluated with different numbers of samples, which shifts "
                "some scores.",
            )
        )
    return warnings
