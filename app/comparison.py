"""Models side by side: what their reports say, what they cost, and which is the best at what."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import model_report
from app.model_report import EvaluationRecord
from app.schemas.comparison import BestModel, CheckpointMetrics, Comparison, ModelSummary
from app.schemas.reports import ScoreView
from core import jobs
from core.storage import Storage
from core.tables import Checkpoint, Dataset, Model


@dataclass(frozen=True)
class ComparisonRecord:
    """What the tables have of a model."""

    model: Model
    report: EvaluationRecord
    usage: dict[str, float]
    checkpoints: Sequence[Checkpoint]
    holdout_key: object  # what of its data set it is measured with


def load_record(session: Session, model: Model) -> ComparisonRecord:
    found, split = model_report.load_evaluations(session, model), _split(session, model)
    if model.job_id is None:
        return ComparisonRecord(model, found, {}, (), split)
    usage = jobs.get(session, model.tenant_id, model.job_id).usage
    kept = jobs.checkpoints_of(session, model.tenant_id, model.job_id)
    return ComparisonRecord(model, found, usage, kept, split)


def _split(session: Session, model: Model) -> object:
    """The same for models that were measured with the same items: the test part of a data set that
    has one, or else what the training held out, which depends on its seed."""
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id is not None else None
    if dataset is not None and dataset.summary["n_test"]:
        return "published"
    config = model.manifest["training"]
    return config.get("holdout_fraction"), config.get("seed")


def compare(records: Sequence[ComparisonRecord], storage: Storage) -> Comparison:
    models = [_one(about, storage) for about in records]
    measured = [model for model in models if model.scores]
    # What other items say, by another evaluation classifier, makes no model better than another.
    best = best_models(models) if len({model.dataset for model in measured}) < 2 else {}
    splits = {
        about.holdout_key for about, model in zip(records, models, strict=True) if model.scores
    }
    return Comparison(models=models, best=best, warnings=_warnings(models, len(splits) < 2))


def _one(about: ComparisonRecord, storage: Storage) -> ModelSummary:
    model = about.model
    report = model_report.build_report(model, about.report, storage)
    config = model.manifest["training"]
    training = {
        "preset": config.get("preset"),
        "architecture": config["hyperparameters"].get("architecture"),
        "step": model.step,
        "parameters": model.manifest["parameters"],
        "seed": config.get("seed"),
        "cpu_s": about.usage.get("cpu_s"),
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
        checkpoints=[CheckpointMetrics(step=c.step, metrics=c.metrics) for c in about.checkpoints],
    )


def best_models(models: Sequence[ModelSummary]) -> dict[str, BestModel]:
    """By each score that more than one of them has; of equals, none is."""
    found = {}
    for name in dict.fromkeys(name for model in models for name in model.scores):
        mine = {model.reference: model.scores[name] for model in models if name in model.scores}
        if len(mine) < 2:
            continue
        ordered = sorted(mine, key=lambda reference: _sort_key(mine[reference])[1])
        if _sort_key(mine[ordered[0]])[1] == _sort_key(mine[ordered[1]])[1]:
            continue
        worst_case = _sort_key(mine[ordered[0]])[2]
        clear = all(worst_case < _sort_key(mine[other])[0] for other in ordered[1:])
        found[name] = BestModel(reference=ordered[0], significant=clear)
    return found


def _sort_key(score: ScoreView) -> tuple[float, float, float]:
    """At least, most likely, at most; whatever the direction, less is better."""
    low, high = score.ci95
    if score.direction == "higher":
        return -high, -score.value, -low
    if score.direction == "lower":
        return low, score.value, high
    ends = abs(low - 0.5), abs(high - 0.5)
    least = 0.0 if low <= 0.5 <= high else min(ends)
    return least, abs(score.value - 0.5), max(ends)


def _warnings(models: Sequence[ModelSummary], same_items: bool) -> list[str]:
    measured = [model for model in models if model.scores]
    found = [f"{model.reference} is {model.state}" for model in models if not model.scores]
    if len({model.dataset for model in measured}) > 1:
        found.append("they were measured on different data sets, so none is called the best")
    elif not same_items:
        found.append(
            "they were measured with different parts of the data set held out; give trainings the "
            "same `seed` and `holdout_fraction`"
        )
    if len({model.samples for model in measured}) > 1:
        found.append("they were measured by different numbers of samples, which moves some scores")
    return found
