"""From a training request and a dataset to a resolved configuration with an estimate.

What depends on the kind of data lies in `images` and `rows`.
"""

from sqlalchemy.orm import Session

from app.planning import gate, images, rows
from app.planning.choice import Choice
from app.schemas.jobs import Estimate, Plan, TrainingRequest
from core import evaluation, workers
from core.settings import get_settings
from core.tables import Dataset
from core.training import TrainingSpec

CHOOSE = {"images": images.choose, "rows": rows.choose}

# What one core is assumed to do in a matrix product until a worker has said.
ASSUMED_GFLOPS = 100.0


def plan(session: Session, dataset: Dataset, wanted: TrainingRequest, seed: int) -> Plan:
    """Raises Invalid when the request does not fit the dataset."""
    choice = CHOOSE[dataset.kind](session, dataset, wanted)
    holdout = choice.holdout if wanted.holdout == "auto" else wanted.holdout
    gate.check(dataset, wanted, label=choice.label, holdout=holdout)
    spec = TrainingSpec.model_validate(
        {
            "kind": dataset.kind,
            "label": choice.label,
            "preset": wanted.preset,
            "budget": choice.budget,
            "checkpoint": wanted.checkpoint,
            "holdout": holdout,
            "seed": seed,
            "config": choice.config,
            "early_stop": wanted.early_stop,
            "warm_start": choice.warm_start,
            "privacy": wanted.privacy,
            "evaluate": _is_evaluated(wanted),
            "accept": wanted.accept,
        }
    )
    found = [
        f"{issue['code']}: {issue['hint']}"
        for issue in dataset.summary["issues"]
        if issue["severity"] != "info"
    ]
    steps = choice.budget.steps
    if steps is not None and steps * choice.batch < choice.items:
        found.append("the budget does not show every item once; expect poor samples")
    if spec.evaluate and evaluation.held_out(holdout, dataset) < evaluation.ENOUGH:
        found.append(f"not_measured: {evaluation.too_few(holdout, dataset)}")
    return Plan(
        resolved_config=spec.model_dump(mode="json", exclude_none=True) | {"label": choice.label},
        estimate=estimate(session, choice),
        warnings=found,
    )


def _is_evaluated(wanted: TrainingRequest) -> bool:
    if wanted.accept is not None:
        return True
    if wanted.evaluate is not None:
        return wanted.evaluate
    # It would read what epsilon does not cover.
    return get_settings().evaluate and wanted.privacy is None


def estimate(session: Session, choice: Choice) -> Estimate:
    """Time on the slowest worker that takes training jobs."""
    speeds = [w.gflops for w in workers.alive(session) if "training" in w.queues and w.gflops]
    step_s = choice.gflop_per_step / (min(speeds) if speeds else ASSUMED_GFLOPS)
    budget = choice.budget
    if budget.steps is not None:
        steps, seconds = budget.steps, budget.steps * step_s
    else:
        seconds = budget.cpu_seconds or 60 * (budget.minutes or 0)
        steps = max(1, round(seconds / step_s))
    return Estimate(
        steps=steps,
        minutes=round(seconds / 60, 2),
        memory_bytes=choice.memory_bytes,
        basis="a worker's measured speed" if speeds else "a typical core; no worker is there yet",
    )
