"""Of images: the rules lie in models.images.settings."""

from typing import Any

from sqlalchemy.orm import Session

from app.planning.training_plan import ResolvedTraining
from app.schemas.hyperparameters import ImageHyperparameters, explicit_values
from app.schemas.jobs import TrainingRequest
from core import model_registry
from core.errors import FieldError, ValidationFailed
from core.tables import Dataset, Model
from core.training import Budget, InitFrom
from models.images.architectures import NETWORK_FIELDS, estimate_cost, resolve
from models.images.settings import PRESETS, ImageData
from models.settings import InvalidSettings

CLASS_LABEL = "class"


def resolve_training(
    session: Session, dataset: Dataset, request: TrainingRequest
) -> ResolvedTraining:
    """Raises ValidationFailed when the request does not fit the images."""
    if request.differential_privacy is not None:
        fault = FieldError("/differential_privacy", "not_allowed", "is for tables alone")
        raise ValidationFailed(
            "`differential_privacy` is for tables: images are learned without", field_errors=[fault]
        )
    summary = dataset.summary
    label = _label(summary, request.target_column)
    budget = request.budget or Budget.model_validate(PRESETS[request.preset].budget)
    data = ImageData(
        height=summary["height"],
        width=summary["width"],
        channels=summary["channels"],
        classes=len(summary["labels"]) if label else 1,
        n_images=summary["n_train"],
        cpu_seconds=budget.cpu_seconds,
    )
    chosen = explicit_values(ImageHyperparameters, request.hyperparameters)
    start = None
    if request.init_from is not None:
        begun = _init_model(session, dataset, request.init_from)
        chosen = _with_network_settings(begun, data, chosen)
        start = InitFrom(model=begun.id, label_map=_label_map(begun, summary, label))
    try:
        settings = resolve(data, request.preset, chosen)
    except InvalidSettings as error:
        fault = FieldError(f"/hyperparameters/{error.field}", "not_allowed", str(error))
        raise ValidationFailed(str(error), field_errors=[fault]) from error
    needed = estimate_cost(settings)
    return ResolvedTraining(
        target_column=label,
        hyperparameters=settings.to_dict(),
        budget=budget,
        train_items=data.n_images,
        batch_size=settings.batch_size,
        holdout_fraction=min(0.1, 1_000 / data.n_images),
        gflop_per_step=needed.gflop_per_step,
        memory_bytes=needed.memory_bytes,
        init_from=start,
    )


def _init_model(session: Session, dataset: Dataset, reference: str) -> Model:
    model = model_registry.get(session, dataset.tenant_id, reference)
    if model.modality != "image":
        fault = FieldError("/init_from", "wrong_modality", "is no model of images")
        raise ValidationFailed("`init_from` names a model of tables", field_errors=[fault])
    if model_registry.checkpoint_of(session, model) is None:
        fault = FieldError(
            "/init_from", "checkpoint_gone", "has no critic any more, only a generator"
        )
        raise ValidationFailed("what the model was trained with is gone", field_errors=[fault])
    return model


def _with_network_settings(model: Model, data: ImageData, chosen: dict[str, Any]) -> dict[str, Any]:
    """The choices, and those of the model that make its networks' shapes."""
    had = model.manifest["training"]["hyperparameters"]
    if any(had[name] != getattr(data, name) for name in ("height", "width", "channels")):
        size = f"{had['height']} x {had['width']} x {had['channels']}"
        fault = FieldError("/init_from", "wrong_size", f"makes images of {size}")
        raise ValidationFailed(
            "the model to start from makes images of another size", field_errors=[fault]
        )
    networks = {name: had[name] for name in NETWORK_FIELDS if name in had}
    for name, value in networks.items():
        if chosen.get(name, value) != value:
            fault = FieldError(
                f"/hyperparameters/{name}", "not_allowed", "is not so in that model", (value,)
            )
            raise ValidationFailed(
                f"`init_from` keeps {name} as it is in that model", field_errors=[fault]
            )
    return chosen | networks


def _label_map(model: Model, summary: dict[str, Any], label: str | None) -> list[int]:
    """Of each label of the dataset among those of the model; -1: it is new."""
    known = [found["name"] for found in model.manifest["labels"]]
    if label is None:
        return [-1 if known else 0]
    places = {name: place for place, name in enumerate(known)}
    return [places.get(found["name"], -1) for found in summary["labels"]]


def _label(summary: dict[str, Any], wanted: str | None) -> str | None:
    if wanted is None or (wanted == "auto" and summary["unlabeled"]):
        return None
    if wanted not in ("auto", CLASS_LABEL):
        fault = FieldError(
            "/target_column", "not_allowed", "images have one label", allowed=(CLASS_LABEL,)
        )
        raise ValidationFailed(
            f"images are labelled by {CLASS_LABEL!r} alone", field_errors=[fault]
        )
    if summary["unlabeled"]:
        raise ValidationFailed(
            "the dataset has no labels: ask for `target_column: null`",
            field_errors=[
                FieldError(
                    "/target_column", "no_labels", "must be null for a dataset without labels"
                )
            ],
        )
    return CLASS_LABEL
