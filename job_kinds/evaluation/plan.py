"""Planning of evaluation jobs: whether an evaluation is possible, and its specification."""

from dataclasses import replace

from sqlalchemy.orm import Session

from core import jobs, model_registry
from core.database import read
from core.datasets import repository as datasets
from core.errors import Conflict, QuotaExceeded, Unavailable
from core.evaluation import (
    MIN_HOLDOUT_ITEMS,
    MIN_SAMPLES,
    EvaluationSpec,
    newest_succeeded,
)
from core.jobs import NewEvent, NewJob
from core.tables import Dataset, Job, JobKind, Model
from core.training import TrainingSpec
from job_kinds.base import OpenStream
from job_kinds.evaluation.request import EvaluationPlan, EvaluationRequest
from modalities import registry
from modalities.base import Evaluation
from models.metrics.score_types import ScoreType


def plan(
    tenant_id: str,
    request: EvaluationRequest,
    seed: int,
    open_stream: OpenStream,  # noqa: ARG001 - a part of the interface
) -> NewJob | EvaluationPlan:
    """Resolve every setting of an evaluation job.

    Raises:
        NotFound, NotReady: The model does not exist, or its dataset cannot be used.
        Conflict: The model cannot be evaluated.
    """
    with read() as session:
        model = model_registry.get(session, tenant_id, request.model)
        if model.dataset_id is None:
            raise Conflict(
                f"{model.name}:{model.version} cannot be evaluated: its dataset is not in this "
                "service.",
                code="no_dataset",
            )
        dataset = datasets.get_ready(session, tenant_id, model.dataset_id)
    samples = None if request.samples == "auto" else request.samples
    spec = build_spec(model, dataset, seed, samples)
    if request.validate_only:
        return EvaluationPlan(resolved=spec.model_dump(mode="json"), warnings=[])
    return replace(
        new_job(model, spec),
        request=request.model_dump(mode="json", exclude_unset=True),
        tags=request.tags,
        priority=request.priority,
        device=request.device,
    )


def all_score_types() -> dict[str, ScoreType]:
    """Return the scores of all modalities, by name."""
    return {
        name: score_type
        for modality in registry.installed().values()
        if isinstance(modality, Evaluation)
        for name, score_type in modality.score_types.items()
    }


def check_possible(training: TrainingSpec, dataset: Dataset) -> None:
    """Check that a model of such a training job can be evaluated.

    Raises:
        Conflict: Models of the modality cannot, the training does not permit it, or there are too
            few holdout items.
    """
    registry.evaluation_of(dataset.modality)
    training.check_evaluable()
    holdout_items = holdout_size(training.holdout_fraction, dataset)
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
        Conflict: See `check_possible`.
    """
    default_samples = min(
        registry.evaluation_of(model.modality).default_samples,
        max(MIN_HOLDOUT_ITEMS, dataset.summary["n_train"]),
    )
    check_unchanged(model, dataset)
    training_spec = registry.get(model.modality).training_spec
    check_possible(training_spec.model_validate(model.manifest["training"]), dataset)
    return EvaluationSpec(
        model=model.id,
        reference=f"{model.name}:{model.version}",
        modality=model.modality,
        samples=default_samples if samples is None else samples,
        seed=seed,
    )


def check_unchanged(model: Model, dataset: Dataset) -> None:
    """Raise Conflict if the content of the dataset was changed after the training of `model`."""
    trained_on = model.manifest["dataset"].get("sha256")
    if trained_on not in {None, dataset.summary["sha256"]}:
        raise Conflict(
            f"{model.name}:{model.version} cannot be evaluated: its dataset was changed after the "
            "training. Train a new model.",
            code="dataset_changed",
        )


def evaluation_seconds(session: Session, dataset: Dataset) -> float | None:
    """Return the expected duration, from the newest evaluations of the tenant's models.

    Returns None if no model of the modality was evaluated, or none can be.
    """
    modality = registry.get(dataset.modality)
    if not isinstance(modality, Evaluation):
        return None
    samples = min(modality.default_samples, max(MIN_HOLDOUT_ITEMS, dataset.summary["n_train"]))
    rates = [
        job.usage["wall_s"] / job.resolved["samples"]
        for job in newest_succeeded(session, dataset.tenant_id)
        if job.resolved["modality"] == modality.name and job.usage.get("wall_s")
    ]
    return samples * sum(rates) / len(rates) if rates else None


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
        queue="evaluation",
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
        new = new_job(model, spec)
        evaluation = replace(new, device=training.device, key_id=training.key_id, automatic=True)
        jobs.create(session, training.tenant_id, evaluation)
    except (Conflict, QuotaExceeded, Unavailable) as error:
        message = f"The model was not evaluated: {error.detail}"
        event = NewEvent("log", {"message": message}, level="warning")
        jobs.record_events(session, training.tenant_id, training.id, [event])


def _max_samples(model: Model) -> int:
    """Return the number of items that training processed, at least MIN_SAMPLES.

    It bounds the samples, so that evaluating a short training run does not cost more than the run.
    """
    items_seen: int = model.step * model.manifest["training"]["hyperparameters"]["batch_size"]
    return max(MIN_SAMPLES, items_seen)
