"""Of images: the rules lie in models.images.settings."""

from typing import Any

from sqlalchemy.orm import Session

from app.planning.choice import Choice
from app.schemas.config import ImageConfig, explicit
from app.schemas.jobs import TrainingRequest
from core import registry
from core.errors import Fault, Invalid
from core.tables import Dataset, Model
from core.training import Budget, WarmStart
from models.images.architectures import OF_THE_NETWORKS, cost, resolve
from models.images.settings import PRESETS, ImageData
from models.settings import InvalidSettings

LABEL = "class"


def choose(session: Session, dataset: Dataset, wanted: TrainingRequest) -> Choice:
    """Raises Invalid when the request does not fit the images."""
    if wanted.privacy is not None:
        fault = Fault("/privacy", "not_allowed", "is for tables alone")
        raise Invalid("`privacy` is for tables: images are learned without", faults=[fault])
    summary = dataset.summary
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
    chosen = explicit(ImageConfig, wanted.config)
    start = None
    if wanted.warm_start is not None:
        begun = _model_to_start_from(session, dataset, wanted.warm_start)
        chosen = _with_networks_of(begun, data, chosen)
        start = WarmStart(model=begun.id, labels=_places(begun, summary, label))
    try:
        settings = resolve(data, wanted.preset, chosen)
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
        warm_start=start,
    )


def _model_to_start_from(session: Session, dataset: Dataset, reference: str) -> Model:
    model = registry.get(session, dataset.tenant_id, reference)
    if model.kind != "images":
        fault = Fault("/warm_start", "wrong_kind", "is no model of images")
        raise Invalid("`warm_start` names a model of tables", faults=[fault])
    if registry.checkpoint_of(session, model) is None:
        fault = Fault("/warm_start", "no_state", "has no critic any more, only a generator")
        raise Invalid("what the model was trained with is gone", faults=[fault])
    return model


def _with_networks_of(model: Model, data: ImageData, chosen: dict[str, Any]) -> dict[str, Any]:
    """The choices, and those of the model that make its networks' shapes."""
    had = model.manifest["config"]["config"]
    if any(had[name] != getattr(data, name) for name in ("height", "width", "channels")):
        size = f"{had['height']} x {had['width']} x {had['channels']}"
        fault = Fault("/warm_start", "wrong_size", f"makes images of {size}")
        raise Invalid("the model to start from makes images of another size", faults=[fault])
    networks = {name: had[name] for name in OF_THE_NETWORKS if name in had}
    for name, value in networks.items():
        if chosen.get(name, value) != value:
            fault = Fault(f"/config/{name}", "not_allowed", "is not so in that model", (value,))
            raise Invalid(f"`warm_start` keeps {name} as it is in that model", faults=[fault])
    return chosen | networks


def _places(model: Model, summary: dict[str, Any], label: str | None) -> list[int]:
    """Of each label of the dataset among those of the model; -1: it is new."""
    known = [found["name"] for found in model.manifest["labels"]]
    if label is None:
        return [-1 if known else 0]
    places = {name: place for place, name in enumerate(known)}
    return [places.get(found["name"], -1) for found in summary["labels"]]


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
