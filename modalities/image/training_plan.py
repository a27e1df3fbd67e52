"""Planning of image training jobs.

The defaults of the settings are in `models.images.settings`, their limits in
`models.images.architectures`.
"""

import math
from functools import partial
from typing import Any, get_args

from sqlalchemy.orm import Session

from core import model_registry
from core.errors import ValidationFailed
from core.settings import get_settings
from core.tables import Dataset, Model
from core.training import Budget
from modalities.image.training_options import ImageTrainingOptions, InitFrom
from modalities.training import Preset, PresetSummary, ResolvedTraining, TrainingChoices
from models.images.architectures import NETWORK_FIELDS, estimate_cost, resolve
from models.images.settings import PRESETS, ImageData

# With 100 steps on Fashion-MNIST, fewer than half of the samples have the requested label; with 200
# steps, about three quarters.
MIN_USEFUL_STEPS = 200

assert all(set(presets) == set(get_args(Preset)) for presets in PRESETS.values())  # noqa: S101 - kept in sync


def plan_training(
    session: Session, dataset: Dataset, choices: TrainingChoices, options: ImageTrainingOptions
) -> ResolvedTraining:
    """Resolve the settings of an image training job.

    Raises:
        ValidationFailed: The request does not fit the images.
        InvalidSettings: A hyperparameter has a value that is not allowed.
    """
    summary = dataset.summary
    conditional = _is_conditional(summary, choices.conditional)
    budget = choices.budget or Budget.model_validate(PRESETS[choices.device][choices.preset].budget)
    height, width = _image_size(summary, options.image_size)
    data = ImageData(
        height=height,
        width=width,
        channels=summary["channels"],
        classes=len(summary["labels"]) if conditional else 1,
        n_images=summary["n_train"],
        budget_seconds=budget.seconds,
        device=choices.device,
    )
    hyperparameters = choices.hyperparameters
    init_from = None
    if options.init_from is not None:
        base_model = _init_model(session, dataset, options.init_from)
        hyperparameters = _with_network_settings(base_model, data, hyperparameters)
        label_map = _label_map(base_model, summary, conditional=conditional)
        init_from = InitFrom(model=base_model.id, label_map=label_map)
    settings = resolve(data, choices.preset, hyperparameters)
    return ResolvedTraining(
        conditional=conditional,
        budget=budget,
        hyperparameters=settings.to_dict(),
        batch_size=settings.batch_size,
        holdout_fraction=min(0.1, 1_000 / data.n_images),
        cost=partial(estimate_cost, settings),
        min_useful_steps=MIN_USEFUL_STEPS,
        shorter_steps="use smaller images",
        spec_fields={"early_stopping": options.early_stopping, "init_from": init_from},
    )


def _image_size(summary: dict[str, Any], longer_side: int | None) -> tuple[int, int]:
    """Return the height and width to train on."""
    stored = summary["height"], summary["width"]
    if longer_side is None:
        return stored
    scale = longer_side / max(stored)
    smallest = get_settings().limits.image_size_min
    height, width = (round(side * scale) for side in stored)
    if scale > 1 or min(height, width) < smallest:
        low = math.ceil((smallest - 0.5) * max(stored) / min(stored))
        message = (
            f"`image_size` must be between {low} and {max(stored)}, because the dataset's images "
            f"have {stored[0]} x {stored[1]} pixels. To train on larger images, change `size` of "
            "the dataset."
        )
        raise ValidationFailed.of_field("/image_size", "out_of_range", message)
    return height, width


def _init_model(session: Session, dataset: Dataset, reference: str) -> Model:
    model = model_registry.get(session, dataset.tenant_id, reference)
    if model.modality != "image":
        message = "`init_from` must name an image model, but it names a tabular model."
        raise ValidationFailed.of_field("/init_from", "wrong_modality", message)
    if model_registry.training_state_of(session, model) is None:
        message = (
            "The training state of this model was deleted, so it cannot be used for `init_from`. "
            "It is kept for the model of a training job, and for checkpoints that were promoted "
            "before the job succeeded."
        )
        raise ValidationFailed.of_field("/init_from", "checkpoint_gone", message)
    return model


def _with_network_settings(
    base_model: Model, data: ImageData, hyperparameters: dict[str, Any]
) -> dict[str, Any]:
    """Add the settings of the base model that determine the shapes of its networks."""
    base = base_model.manifest["training"]["hyperparameters"]
    if any(base[name] != getattr(data, name) for name in ("height", "width", "channels")):
        message = (
            f"The base model generates images of {base['height']} x {base['width']} x "
            f"{base['channels']}, but this training uses images of {data.height} x {data.width} x "
            f"{data.channels}."
        )
        raise ValidationFailed.of_field("/init_from", "wrong_size", message)
    network_settings = {name: base[name] for name in NETWORK_FIELDS if name in base}
    for name, value in network_settings.items():
        if hyperparameters.get(name, value) != value:
            message = f"`{name}` must equal the base model's value ({value})."
            raise ValidationFailed.of_field(
                f"/hyperparameters/{name}", "not_allowed", message, (value,)
            )
    return hyperparameters | network_settings


def _label_map(base_model: Model, summary: dict[str, Any], *, conditional: bool) -> list[int]:
    """Return the index of each dataset label in the base model; -1 for a new label."""
    base_labels = [label["name"] for label in base_model.manifest["labels"]]
    if not conditional:
        return [-1 if base_labels else 0]
    indices = {name: index for index, name in enumerate(base_labels)}
    return [indices.get(label["name"], -1) for label in summary["labels"]]


def _is_conditional(summary: dict[str, Any], requested: bool | None) -> bool:
    has_labels = not summary["unlabeled"]
    if requested and not has_labels:
        message = "`conditional` must not be true, because the dataset has no labels."
        raise ValidationFailed.of_field("/conditional", "no_labels", message)
    return has_labels if requested is None else requested


def presets() -> list[PresetSummary]:
    """Return the presets of images."""
    return [
        PresetSummary(name, text, Budget.model_validate(PRESETS["cpu"][name].budget))
        for name, text in _PRESET_TEXTS.items()
    ]


_PRESET_TEXTS: dict[Preset, str] = {
    "fast": "Small networks, for a first look: the shapes of the labels are right.",
    "balanced": "Networks of twice the width; for most datasets.",
    "quality": "The widest networks and the longest training, for small details and variety.",
}
