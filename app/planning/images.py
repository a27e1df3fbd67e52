"""Of images: the rules lie in models.images.settings."""

from typing import Any

from app.planning.choice import Choice
from app.schemas.config import ImageConfig, explicit
from app.schemas.jobs import TrainingRequest
from core.errors import Fault, Invalid
from core.training import Budget
from models.images.architectures import cost, resolve
from models.images.settings import PRESETS, ImageData
from models.settings import InvalidSettings

LABEL = "class"


def choose(summary: dict[str, Any], wanted: TrainingRequest) -> Choice:
    """Raises Invalid when the request does not fit the images."""
    label = _label(summary, wanted.label)
    budget = wanted.budget or Budget.model_validate(PRESETS[wanted.preset].budget)
    data = ImageData(
        height=summary["height"],
        width=summary["width"],
        channels=summary["channels"],
        classes=len(summary["labels"]) if label else 1,
        images=summary["n_train"],
        cpu_seconds=budget.cpu_seconds,
    )
    try:
        settings = resolve(data, wanted.preset, explicit(ImageConfig, wanted.config))
    except InvalidSettings as error:
        fault = Fault(f"/config/{error.field}", "not_allowed", str(error))
        raise Invalid(str(error), faults=[fault]) from error
    needed = cost(settings)
    return Choice(
        label=label,
        config=settings.to_dict(),
        budget=budget,
        items=data.images,
        batch=settings.batch,
        holdout=min(0.1, 1_000 / data.images),
        gflop_per_step=needed.gflop_per_step,
        memory_bytes=needed.memory_bytes,
    )


def _label(summary: dict[str, Any], wanted: str | None) -> str | None:
    if wanted is None or (wanted == "auto" and summary["unlabelled"]):
        return None
    if wanted not in ("auto", LABEL):
        fault = Fault("/label", "not_allowed", "images have one label", allowed=(LABEL,))
        raise Invalid(f"images are labelled by {LABEL!r} alone", faults=[fault])
    if summary["unlabelled"]:
        raise Invalid(
            "the dataset has no labels: ask for `label: null`",
            faults=[Fault("/label", "no_labels", "must be null for a dataset without labels")],
        )
    return LABEL
