"""From a training request and a dataset to a resolved configuration with an estimate.

What depends on the kind of data lies in `images` and `rows`.
"""

from sqlalchemy.orm import Session

from app.planning import image_training, quality_gate, tabular_training
from app.planning.training_plan import ResolvedTraining
from app.schemas.jobs import TrainingEstimate, TrainingPlan, TrainingRequest
from core import evaluation, workers
from core.settings import get_settings
from core.tables import Dataset
from core.training import TrainingSpec

PLANNERS = {"image": image_training.resolve_training, "tabular": tabular_training.resolve_training}

# What one core is assumed to do in a matrix product until a worker has said.
DEFAULT_GFLOPS = 100.0


def plan(session: Session, dataset: Dataset, request: TrainingRequest, seed: int) -> TrainingPlan:
    """Raises ValidationFailed when the request does not fit the dataset."""
    choice = PLANNERS[dataset.modality](session, dataset, request)
    holdout_fraction = (
        choice.holdout_fraction if request.holdout_fraction == "auto" else request.holdout_fraction
    )
    quality_gate.check(
        dataset, request, target_column=choice.target_column, holdout_fraction=holdout_fraction
    )
    spec = TrainingSpec.model_validate(
        {
            "modality": dataset.modality,
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
    found = [
        f"{issue['code']}: {issue['hint']}"
        for issue in dataset.summary["issues"]
        if issue["severity"] != "info"
    ]
    steps = choice.budget.steps
    if steps is not None and steps * choice.batch_size < choice.train_items:
        found.append("the budget does not show every item once; expect poor samples")
    if (
        spec.evaluate
        and evaluation.holdout_size(holdout_fraction, dataset) < evaluation.MIN_HOLDOUT_ITEMS
    ):
        found.append(
            f"evaluation_skipped: {evaluation.not_enough_holdout_message(holdout_fraction, dataset)}"
        )
    return TrainingPlan(
        resolved=spec.model_dump(mode="json", exclude_none=True)
        | {"target_column": choice.target_column},
        estimate=estimate(session, choice),
        warnings=found,
    )


def _is_evaluated(wanted: TrainingRequest) -> bool:
    if wanted.quality_gate is not None:
        return True
    if wanted.evaluate is not None:
        return wanted.evaluate
    # It would read what epsilon does not cover.
    return get_settings().auto_evaluate and wanted.differential_privacy is None


def estimate(session: Session, training: ResolvedTraining) -> TrainingEstimate:
    """Time on the slowest worker that takes training jobs."""
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
        basis="a worker's measured speed" if speeds else "a typical core; no worker is there yet",
    )
