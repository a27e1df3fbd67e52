"""Planning of training jobs: from a request and a dataset to a resolved configuration.

The steps that depend on the modality are in `image_training` and `tabular_training`.
"""

from sqlalchemy.orm import Session

from app.planning import image_training, quality_gate, tabular_training
from app.planning.training_plan import ResolvedTraining
from app.schemas.jobs import TrainingEstimate, TrainingPlan, TrainingRequest
from app.schemas.warnings import WarningView
from core import workers
from core.errors import Conflict
from core.settings import get_settings
from core.tables import Dataset
from core.training import TrainingSpec
from modalities import evaluation_jobs

PLANNERS = {"image": image_training.resolve_training, "tabular": tabular_training.resolve_training}

# Assumed speed of one core in matrix products until a worker has reported its own.
DEFAULT_GFLOPS = 100.0


def plan(session: Session, dataset: Dataset, request: TrainingRequest, seed: int) -> TrainingPlan:
    """Resolve every setting of a training job.

    Raises:
        ValidationFailed: The request does not fit the dataset.
        Conflict: The `quality_gate` cannot be checked because there are too few holdout items.
        Unavailable: The server lacks a package that the request needs.
    """
    choice = PLANNERS[dataset.modality](session, dataset, request)
    holdout_fraction = (
        choice.holdout_fraction if request.holdout_fraction == "auto" else request.holdout_fraction
    )
    quality_gate.check(
        dataset, request, conditional=choice.conditional, holdout_fraction=holdout_fraction
    )
    spec = TrainingSpec.model_validate(
        {
            "modality": dataset.modality,
            "conditional": choice.conditional,
            "target_column": choice.target_column,
            "preset": request.preset,
            "budget": choice.budget,
            "checkpoint": request.checkpoint,
            "holdout_fraction": holdout_fraction,
            "seed": seed,
            "hyperparameters": choice.hyperparameters,
            "early_stopping": request.early_stopping,
            "init_from": choice.init_from,
            "differential_privacy": request.differential_privacy,
            "evaluate": _is_evaluated(request),
            "quality_gate": request.quality_gate,
        }
    )
    warnings = [
        WarningView(code=issue["code"], message=issue["hint"])
        for issue in dataset.summary["issues"]
        if issue["severity"] != "info"
    ]
    steps = choice.budget.steps
    if steps is not None and steps * choice.batch_size < choice.train_items:
        warnings.append(
            WarningView(
                code="budget_below_one_epoch",
                message="The budget is too small to use every training item once. Expect poor "
                "samples.",
            )
        )
    if spec.evaluate:
        try:
            evaluation_jobs.check_possible(holdout_fraction, dataset)
        except Conflict as error:
            warnings.append(WarningView(code="evaluation_skipped", message=error.detail))
    return TrainingPlan(
        resolved=spec.model_dump(mode="json", exclude_none=True),
        estimate=estimate(session, choice),
        warnings=warnings,
    )


def _is_evaluated(request: TrainingRequest) -> bool:
    if request.quality_gate is not None:
        return True
    if request.evaluate is not None:
        return request.evaluate
    # An evaluation reads training rows, and its access is not part of the privacy budget.
    return get_settings().auto_evaluate and request.differential_privacy is None


def estimate(session: Session, training: ResolvedTraining) -> TrainingEstimate:
    """Estimate the duration on the slowest active worker that accepts training jobs."""
    speeds = [w.gflops for w in workers.active(session) if "training" in w.queues and w.gflops]
    step_s = training.gflop_per_step / (min(speeds) if speeds else DEFAULT_GFLOPS)
    budget = training.budget
    if budget.steps is not None:
        steps, seconds = budget.steps, budget.steps * step_s
    else:
        seconds = budget.cpu_seconds or 60 * (budget.wall_minutes or 0)
        steps = max(1, round(seconds / step_s))
    return TrainingEstimate(
        steps=steps,
        minutes=round(seconds / 60, 2),
        memory_bytes=training.memory_bytes,
        basis="Speed measured on the slowest worker."
        if speeds
        else "Typical speed of one core, because no worker is active.",
    )
