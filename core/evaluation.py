"""What an evaluation job is to measure, every value resolved, and what is known of models that were
measured. A report is a file of the newest job that succeeded; nothing of it stands in the model."""

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
MIN_SAMPLES = 1_000  # after a training, however short
MIN_HOLDOUT_ITEMS = 20  # held-out items
SCORES = {
    "image": (
        *(
            "frechet_distance",
            "kernel_distance",
            "precision",
            "recall",
            "density",
            "coverage",
            "detection_auc",
        ),
        *(
            "detection_accuracy",
            "label_accuracy",
            "tstr_score",
            "near_duplicate_rate",
            "memorization_rate",
        ),
        *("membership_inference_auc", "membership_inference_tpr_at_1pct_fpr"),
    ),
    "tabular": (
        *("marginal_tvd", "pairwise_tvd", "detection_auc", "detection_accuracy", "tstr_score"),
        *(
            "dcr_share",
            "exact_match_rate",
            "membership_inference_auc",
            "membership_inference_tpr_at_1pct_fpr",
            "unique_rate",
        ),
    ),
}

Quality = Literal["good", "poor", "not_evaluated"]


class EvaluationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="its id, so that a newer version changes nothing")
    reference: str = Field(description="`name:version`")
    modality: Literal["image", "tabular"]
    samples: int
    seed: int


def build_spec(model: Model, dataset: Dataset, seed: int, samples: int | None) -> EvaluationSpec:
    """As many samples as there are items to learn from, within bounds. Raises Conflict when nothing
    real was kept apart to measure with."""
    if model.manifest["training"].get("differential_privacy") is not None:
        raise Conflict(
            f"{model.name}:{model.version} was learned with differential privacy: an evaluation "
            "reads rows that its epsilon does not cover",
            code="not_covered_by_dp",
        )
    if holdout_size(model.manifest["training"]["holdout_fraction"], dataset) < MIN_HOLDOUT_ITEMS:
        raise Conflict(
            not_enough_holdout_message(model.manifest["training"]["holdout_fraction"], dataset),
            code="too_few_holdout_items",
        )
    most = min(DEFAULT_SAMPLES[model.modality], max(MIN_HOLDOUT_ITEMS, dataset.summary["n_train"]))
    return EvaluationSpec(
        model=model.id,
        reference=f"{model.name}:{model.version}",
        modality="image" if model.modality == "image" else "tabular",
        samples=most if samples is None else samples,
        seed=seed,
    )


def holdout_size(holdout_fraction: float, dataset: Dataset) -> int:
    """Items to measure with: the published test part, or else the share that training holds out."""
    published: int = dataset.summary.get("n_test") or 0
    return published or round(holdout_fraction * dataset.summary["n_train"])


def why_not_evaluable(session: Session, model: Model) -> str | None:
    """Why the model cannot be measured, if it cannot."""
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id is not None else None
    if dataset is None:
        return "its dataset is not here"
    try:
        build_spec(model, dataset, 0, None)
    except Conflict as error:
        return error.detail
    return None


def not_enough_holdout_message(holdout_fraction: float, dataset: Dataset) -> str:
    return (
        f"an evaluation needs {MIN_HOLDOUT_ITEMS} items that training has not seen, and there are "
        f"{holdout_size(holdout_fraction, dataset)}; train with a larger `holdout_fraction`"
    )


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
    """Measure what a training job has made. That this cannot be done is said in its log, and is no
    failure of it."""
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id is not None else None
    if dataset is None:
        return
    try:
        spec = build_spec(model, dataset, training.resolved["seed"], None)
        spec = spec.model_copy(update={"samples": min(spec.samples, _in_proportion(model))})
        jobs.create(session, training.tenant_id, new_job(model, spec))
    except (Conflict, Unavailable) as error:
        event = NewEvent("log", {"message": f"not evaluated: {error.detail}"}, level="warning")
        jobs.record_events(session, training.tenant_id, training.id, [event])


def _in_proportion(model: Model) -> int:
    """No more samples than training has looked at items: a run of a few steps is not worth more
    work afterwards than it was itself."""
    looked_at: int = model.step * model.manifest["training"]["hyperparameters"]["batch_size"]
    return max(MIN_SAMPLES, looked_at)


def latest(session: Session, model: Model, state: JobState | None = None) -> Job | None:
    """The model's last evaluation, or the last in this state."""
    query = select(Job).where(
        Job.tenant_id == model.tenant_id,
        Job.kind == JobKind.EVALUATION,
        Job.model_id == model.id,
    )
    if state is not None:
        query = query.where(Job.state == state)
    return session.scalar(query.order_by(Job.id.desc()).limit(1))


class ModelQuality(BaseModel):
    """What is known of a model when samples of it are asked for. `gate_passed` is null for one that
    nothing was asked of."""

    quality: Quality
    gate_passed: bool | None
    failed_criteria: list[str]


def quality_of(session: Session, model: Model) -> ModelQuality:
    """By the newest evaluation that succeeded. What was not measured is not accepted."""
    job = latest(session, model, JobState.SUCCEEDED)
    wanted = model.manifest["training"].get("quality_gate")
    if job is None or job.result is None:
        unmet = ["it has not been measured"] if wanted else []
        return ModelQuality(
            quality="not_evaluated", gate_passed=False if wanted else None, failed_criteria=unmet
        )
    unmet = job.result["failed_criteria"]
    return ModelQuality(
        quality=job.result["quality"],
        gate_passed=not unmet if wanted else None,
        failed_criteria=unmet,
    )


def require_quality_gate(
    session: Session, model: Model, *, ignore_quality_gate: bool
) -> ModelQuality:
    """Raises Conflict for a model that is not what its training job said it must be, unless the
    caller takes it all the same."""
    found = quality_of(session, model)
    if found.gate_passed is False and not ignore_quality_gate:
        raise Conflict(
            f"{model.name}:{model.version} is not accepted: {'; '.join(found.failed_criteria)}; "
            "`ignore_quality_gate` draws from it all the same",
            code="quality_gate_failed",
            failed_criteria=found.failed_criteria,
        )
    return found


def failed_criteria(
    gate: QualityGate | None, verdict: str, scores: Sequence[dict[str, Any]]
) -> list[str]:
    """What of it the figures do not reach, in words."""
    if gate is None:
        return []
    by_name = {score["name"]: score for score in scores}
    found = []
    if verdict not in gate.allowed_verdicts:
        found.append(f"the verdict is {verdict}, not {' or '.join(gate.allowed_verdicts)}")
    for name, bound in gate.scores.items():
        score = by_name.get(name)
        if score is None:
            found.append(f"{name} could not be measured")
            continue
        value, least, most = score["value"], bound.min, bound.max
        if bound.min_fraction_of_reference is not None:
            share = bound.min_fraction_of_reference * (score["real_reference"] or 0.0)
            least = share if least is None else max(share, least)
        if least is not None and value < least:
            found.append(f"{name} is {value:.3g}, below {least:.3g}")
        if most is not None and value > most:
            found.append(f"{name} is {value:.3g}, above {most:.3g}")
    return found
