"""Evaluation jobs of any modality: whether an evaluation is possible, and its specification."""

from sqlalchemy.orm import Session

import modalities
from core import jobs
from core.errors import Conflict, Unavailable
from core.evaluation import MIN_HOLDOUT_ITEMS, MIN_SAMPLES, EvaluationSpec
from core.jobs import NewEvent, NewJob
from core.tables import Dataset, Job, JobKind, Model
from modalities.base import Evaluation
from models.metrics.score_types import ScoreType


def score_types() -> dict[str, ScoreType]:
    """Return the scores of all modalities, by name."""
    return {
        name: score_type
        for modality in modalities.installed().values()
        if isinstance(modality, Evaluation)
        for name, score_type in modality.score_types.items()
    }


def check_possible(holdout_fraction: float, dataset: Dataset) -> None:
    """Raise Conflict if a model that is trained on the dataset cannot be evaluated."""
    modalities.evaluation_of(dataset.modality)
    holdout_items = holdout_size(holdout_fraction, dataset)
    if holdout_items < MIN_HOLDOUT_ITEMS:
        raise Conflict(
            f"An evaluation needs at least {MIN_HOLDOUT_ITEMS} holdout items, but there are "
            f"{holdout_items}. Train with a larger `holdout_fraction`.",
            code="too_few_holdout_items",
        )


def holdout_size(holdout_fraction: float, dataset: Dataset) -> int:
    """Return the size of the published test split, or else of the split that training holds out."""
    test_size: int = dataset.summary.get("n_test") or 0
    return test_size or round(holdout_fraction * dataset.summary["n_train"])


def build_spec(model: Model, dataset: Dataset, seed: int, samples: int | None) -> EvaluationSpec:
    """Build the specification of an evaluation of `model`.

    By default it generates as many samples as there are training items, at least MIN_HOLDOUT_ITEMS
    and at most `default_samples` of the modality.

    Raises:
        Conflict: Models of the modality cannot be evaluated, there are too few holdout items, or
            the model was trained with differential privacy.
    """
    training = model.manifest["training"]
    if training.get("differential_privacy") is not None:
        raise Conflict(
            f"{model.name}:{model.version} was trained with differential privacy and cannot be "
            "evaluated: an evaluation reads rows that its epsilon does not cover.",
            code="not_covered_by_dp",
        )
    check_possible(training["holdout_fraction"], dataset)
    default_samples = min(
        modalities.evaluation_of(model.modality).default_samples,
        max(MIN_HOLDOUT_ITEMS, dataset.summary["n_train"]),
    )
    return EvaluationSpec(
        model=model.id,
        reference=f"{model.name}:{model.version}",
        modality=model.modality,
        samples=default_samples if samples is None else samples,
        seed=seed,
    )


def why_not_evaluable(session: Session, model: Model) -> str | None:
    """Return the reason why the model cannot be evaluated, or None if it can."""
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id is not None else None
    if dataset is None:
        return "The model's dataset is not on this server."
    try:
        build_spec(model, dataset, 0, None)
    except Conflict as error:
        return error.detail
    return None


def new_job(model: Model, spec: EvaluationSpec) -> NewJob:
    return NewJob(
        JobKind.EVALUATION,
        model.name,
        model.dataset_id,
        {"kind": "evaluation", "model": model.id},
        spec.model_dump(mode="json"),
        model_id=model.id,
    )


def enqueue(session: Session, training: Job, model: Model) -> None:
    """Create an evaluation job for the model of a training job.

    If that is not possible, write a warning to the training job's log; the job does not fail.
    """
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id is not None else None
    if dataset is None:
        return
    try:
        spec = build_spec(model, dataset, training.resolved["seed"], None)
        spec = spec.model_copy(update={"samples": min(spec.samples, _max_samples(model))})
        jobs.create(session, training.tenant_id, new_job(model, spec))
    except (Conflict, Unavailable) as error:
        message = f"The model was not evaluated: {error.detail}"
        event = NewEvent("log", {"message": message}, level="warning")
        jobs.record_events(session, training.tenant_id, training.id, [event])


def _max_samples(model: Model) -> int:
    """Return the number of items that training processed, at least MIN_SAMPLES.

    It bounds the samples, so that evaluating a short training run does not cost more than the run.
    """
    items_seen: int = model.step * model.manifest["training"]["hyperparameters"]["batch_size"]
    return max(MIN_SAMPLES, items_seen)
