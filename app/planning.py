"""From a training request and a dataset to a resolved configuration with an estimate.

The rules themselves lie in models.images.settings, which is free of torch.
"""

from typing import Any

from sqlalchemy.orm import Session

from app.schemas.image_config import explicit
from app.schemas.jobs import Estimate, Plan, TrainingRequest
from core import workers
from core.errors import Fault, Invalid
from core.tables import Dataset
from core.training import Budget, TrainingSpec
from models.images.settings import (
    PRESETS,
    ImageData,
    ImageSettings,
    InvalidSettings,
    cost,
    resolve,
)

# What one core is assumed to do in a matrix product until a worker has said.
ASSUMED_GFLOPS = 100.0


def plan(session: Session, dataset: Dataset, wanted: TrainingRequest, seed: int) -> Plan:
    """Raises Invalid when the request does not fit the dataset."""
    if dataset.kind != "images":
        message = "training on a table is not built yet; only datasets of images can be learned"
        raise Invalid(message, code="not_built", faults=[Fault("/dataset", "not_built", message)])
    summary = dataset.summary
    labelled = wanted.label is not None
    budget = wanted.budget or Budget.model_validate(PRESETS[wanted.preset].budget)
    if labelled and summary["unlabelled"]:
        raise Invalid(
            "the dataset has no labels: ask for `label: null`",
            faults=[Fault("/label", "no_labels", "must be null for a dataset without labels")],
        )
    data = ImageData(
        height=summary["height"],
        width=summary["width"],
        channels=summary["channels"],
        classes=len(summary["labels"]) if labelled else 1,
        images=summary["n_train"],
        cpu_seconds=budget.cpu_seconds,
    )
    try:
        settings = resolve(data, wanted.preset, explicit(wanted.config))
    except InvalidSettings as error:
        fault = Fault(f"/config/{error.field}", "not_allowed", str(error))
        raise Invalid(str(error), faults=[fault]) from error
    spec = TrainingSpec(
        kind="images",
        labelled=labelled,
        preset=wanted.preset,
        budget=budget,
        checkpoint=wanted.checkpoint,
        holdout=holdout(data.images) if wanted.holdout == "auto" else wanted.holdout,
        seed=seed,
        config=settings.to_dict(),
    )
    return Plan(
        resolved_config=spec.model_dump(mode="json", exclude_none=True),
        estimate=estimate(session, settings, budget),
        warnings=warnings(summary, data, settings, budget),
    )


def holdout(images: int) -> float:
    """Enough to measure by, and no more: a tenth of small sets, at most 1,000 images."""
    return min(0.1, 1_000 / images)


def estimate(session: Session, settings: ImageSettings, budget: Budget) -> Estimate:
    """Time on the slowest worker that takes training jobs."""
    speeds = [w.gflops for w in workers.alive(session) if "training" in w.queues and w.gflops]
    needed = cost(settings)
    step_s = needed.gflop_per_step / (min(speeds) if speeds else ASSUMED_GFLOPS)
    if budget.steps is not None:
        steps, seconds = budget.steps, budget.steps * step_s
    else:
        seconds = budget.cpu_seconds or 60 * (budget.minutes or 0)
        steps = max(1, round(seconds / step_s))
    return Estimate(
        steps=steps,
        minutes=round(seconds / 60, 2),
        memory_bytes=needed.memory_bytes,
        basis="a worker's measured speed" if speeds else "a typical core; no worker is there yet",
    )


def warnings(
    summary: dict[str, Any], data: ImageData, settings: ImageSettings, budget: Budget
) -> list[str]:
    found = [
        f"{issue['code']}: {issue['hint']}"
        for issue in summary["issues"]
        if issue["severity"] != "info"
    ]
    if budget.steps is not None and budget.steps * settings.batch < data.images:
        found.append("the budget does not show every image once; expect poor samples")
    return found
