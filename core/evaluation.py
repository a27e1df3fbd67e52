"""Specification of evaluation jobs, and quality of the models that they evaluated.

The report of a model is an artifact of its newest successful evaluation job. The model's row holds
no part of it.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import jobs
from core.errors import Conflict, Unavailable
from core.jobs import NewEvent, NewJob
from core.tables import Dataset, Job, JobKind, JobState, Model
from core.training import QualityGate

REPORT = "report.json"
DEFAULT_SAMPLES = {"image": 10_000, "tabular": 24_000}
MAX_SAMPLES = 50_000
MIN_SAMPLES = 1_000  # for the evaluation after a training job, however short
MIN_HOLDOUT_ITEMS = 20
SCORES = {
    "image": (
        "frechet_distance",
        "kernel_distance",
        "precision",
        "recall",
        "density",
        "coverage",
        "detection_auc",
        "detection_accuracy",
        "label_accuracy",
        "tstr_score",
        "near_duplicate_rate",
        "memorization_rate",
        "membership_inference_auc",
        "membership_inference_tpr_at_1pct_fpr",
    ),
    "tabular": (
        "marginal_tvd",
        "pairwise_tvd",
        "detection_auc",
        "detection_accuracy",
        "tstr_score",
        "dcr_share",
        "exact_match_rate",
        "membership_inference_auc",
        "membership_inference_tpr_at_1pct_fpr",
        "unique_rate",
    ),
}

Quality = Literal["good", "poor", "not_evaluated"]


class EvaluationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        description="Id of the model: a version added later does not change the job."
    )
    reference: str = Field(description="The model as `name:version`.")
    modality: Literal["image", "tabular"]
    samples: int
    seed: int


def build_spec(model: Model, dataset: Dataset, seed: int, samples: int | None) -> EvaluationSpec:
    """Build the specification of an evaluation of `model`.

    By default it draws as many samples as there are training items, at least MIN_HOLDOUT_ITEMS and
    at most DEFAULT_SAMPLES of the modality.

    Raises:
        Conflict: There are too few holdout items, or the model was trained with differential
            privacy.
    """
    if model.manifest["training"].get("differential_privacy") is not None:
        raise Conflict(
            f"{model.name}:{model.version} was trained with differential privacy and cannot be "
            "evaluated: an evaluation reads rows that its epsilon does not cover.",
            code="not_covered_by_dp",
        )
    if holdout_size(model.manifest["training"]["holdout_fraction"], dataset) < MIN_HOLDOUT_ITEMS:
        raise Conflict(
            not_enough_holdout_message(model.manifest["training"]["holdout_fraction"], dataset),
            code="too_few_holdout_items",
        )
    default_samples = min(
        DEFAULT_SAMPLES[model.modality], max(MIN_HOLDOUT_ITEMS, dataset.summary["n_train"])
    )
    return EvaluationSpec(
        model=model.id,
        reference=f"{model.name}:{model.version}",
        modality="image" if model.modality == "image" else "tabular",
        samples=default_samples if samples is None else samples,
        seed=seed,
    )


def holdout_size(holdout_fraction: float, dataset: Dataset) -> int:
    """Return the size of the published test split, or else of the split that training holds out."""
    test_size: int = dataset.summary.get("n_test") or 0
    return test_size or round(holdout_fraction * dataset.summary["n_train"])


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


def not_enough_holdout_message(holdout_fraction: float, dataset: Dataset) -> str:
    return (
        f"An evaluation needs at least {MIN_HOLDOUT_ITEMS} holdout items, but there are "
        f"{holdout_size(holdout_fraction, dataset)}. Train with a larger `holdout_fraction`."
    )


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


def latest(session: Session, model: Model, state: JobState | None = None) -> Job | None:
    """Return the model's newest evaluation job, or the newest in `state`."""
    query = select(Job).where(
        Job.tenant_id == model.tenant_id,
        Job.kind == JobKind.EVALUATION,
        Job.model_id == model.id,
    )
    if state is not None:
        query = query.where(Job.state == state)
    return session.scalar(query.order_by(Job.id.desc()).limit(1))


class ModelQuality(BaseModel):
    """Quality of a model by its newest evaluation.

    `gate_passed` is null if the training job set no quality gate.
    """

    quality: Quality
    gate_passed: bool | None
    failed_criteria: list[str]


def quality_of(session: Session, model: Model) -> ModelQuality:
    """Return the model's quality by its newest successful evaluation.

    A model that has a quality gate but was not evaluated fails the gate.
    """
    job = latest(session, model, JobState.SUCCEEDED)
    gate = model.manifest["training"].get("quality_gate")
    if job is None or job.result is None:
        criteria = ["the model has not been evaluated"] if gate else []
        return ModelQuality(
            quality="not_evaluated", gate_passed=False if gate else None, failed_criteria=criteria
        )
    criteria = job.result["failed_criteria"]
    return ModelQuality(
        quality=job.result["quality"],
        gate_passed=not criteria if gate else None,
        failed_criteria=criteria,
    )


def require_quality_gate(
    session: Session, model: Model, *, ignore_quality_gate: bool
) -> ModelQuality:
    """Return the model's quality; raise Conflict if it fails the quality gate of its training job.

    With `ignore_quality_gate`, never raise.
    """
    quality = quality_of(session, model)
    if quality.gate_passed is False and not ignore_quality_gate:
        raise Conflict(
            f"{model.name}:{model.version} failed its quality gate: "
            f"{'; '.join(quality.failed_criteria)}. Set `ignore_quality_gate` to use it anyway.",
            code="quality_gate_failed",
            failed_criteria=quality.failed_criteria,
        )
    return quality


def failed_criteria(
    gate: QualityGate | None, verdict: str, scores: Sequence[dict[str, Any]]
) -> list[str]:
    """Return a description of each criterion of the gate that the verdict or a score fails."""
    if gate is None:
        return []
    by_name = {score["name"]: score for score in scores}
    failures = []
    if verdict not in gate.allowed_verdicts:
        failures.append(f"the verdict is {verdict}, not {' or '.join(gate.allowed_verdicts)}")
    for name, bound in gate.scores.items():
        score = by_name.get(name)
        if score is None:
            failures.append(f"{name} could not be measured")
            continue
        value, minimum, maximum = score["value"], bound.min, bound.max
        if bound.min_fraction_of_reference is not None:
            relative_min = bound.min_fraction_of_reference * (score["real_reference"] or 0.0)
            minimum = relative_min if minimum is None else max(relative_min, minimum)
        if minimum is not None and value < minimum:
            failures.append(f"{name} is {value:.3g}, below {minimum:.3g}")
        if maximum is not None and value > maximum:
            failures.append(f"{name} is {value:.3g}, above {maximum:.3g}")
    return failures
