"""Specification of evaluation jobs, and quality of the models that they evaluated.

The report of a model is an artifact of its newest successful evaluation job. The model's row holds
no part of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import Conflict
from core.tables import Job, JobKind, JobState, Model
from core.training import QualityGate

REPORT = "report.json"
MAX_SAMPLES = 50_000
MIN_SAMPLES = 1_000  # for the evaluation after a training job, however short
MIN_HOLDOUT_ITEMS = 20

Quality = Literal["good", "poor", "not_evaluated"]


class EvaluationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        description="Id of the model: a version added later does not change the job."
    )
    reference: str = Field(description="The model as `name:version`.")
    modality: str = Field(description="Kind of data.")
    samples: int = Field(description="Number of samples to evaluate.")
    seed: int = Field(description="Random seed.")


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


@dataclass(frozen=True)
class LatestEvaluations:
    """The newest evaluation job of a model, and the newest one that succeeded."""

    newest: Job | None = None
    succeeded: Job | None = None


def latest_of_models(session: Session, models: Sequence[Model]) -> dict[str, LatestEvaluations]:
    """Return the evaluations by model id; models without evaluations are left out."""
    if not models:
        return {}
    ids = [model.id for model in models]
    evaluations = (Job.tenant_id == models[0].tenant_id) & (Job.kind == JobKind.EVALUATION)
    selected = select(func.max(Job.id)).where(evaluations, Job.model_id.in_(ids))
    selected = selected.group_by(Job.model_id)
    newest, succeeded = (
        {
            str(job.model_id): job
            for job in session.scalars(select(Job).where(Job.id.in_(list(session.scalars(query)))))
        }
        for query in (selected, selected.where(Job.state == JobState.SUCCEEDED))
    )
    return {
        model_id: LatestEvaluations(job, succeeded.get(model_id))
        for model_id, job in newest.items()
    }


def newest_succeeded(session: Session, tenant_id: str, limit: int = 20) -> Sequence[Job]:
    """Return the tenant's newest succeeded evaluation jobs of any model."""
    query = select(Job).where(
        Job.tenant_id == tenant_id,
        Job.kind == JobKind.EVALUATION,
        Job.state == JobState.SUCCEEDED,
    )
    return session.scalars(query.order_by(Job.id.desc()).limit(limit)).all()


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
            failures.append(f"{name} is {_format(value)}, below {_format(minimum)}")
        if maximum is not None and value > maximum:
            failures.append(f"{name} is {_format(value)}, above {_format(maximum)}")
    return failures


def _format(score: float) -> str:
    """Return the score with at least three significant digits, and without an exponent if large."""
    return f"{score:,.0f}" if abs(score) >= 100 else f"{score:.3g}"
