"""Settings of a training job that only images have, as requested and as resolved."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from core.request_fields import RequestModel
from core.training import TrainingSpec
from modalities.hyperparameters import create_request_model
from models.images.adversarial.settings import AdversarialSettings
from models.images.settings import DATA_FIELDS
from models.images.vae_gan.settings import VaeGanSettings

ImageHyperparameters = create_request_model(
    "ImageHyperparameters", VaeGanSettings, AdversarialSettings, without=DATA_FIELDS
)


class EarlyStopping(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    patience: int = Field(
        ge=1,
        le=10,
        description="Number of evaluations (10 per run) without an improvement in held-out "
        "coverage after which training stops.",
    )


def _reject_numbers(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError('must be "auto", false or {"patience": n}')
    return value


# Without the validator, pydantic accepts 0 for false because they are equal.
EarlyStoppingSetting = Annotated[
    Literal["auto", False] | EarlyStopping, BeforeValidator(_reject_numbers)
]


class ImageTrainingOptions(RequestModel):
    early_stopping: EarlyStoppingSetting = Field(
        "auto",
        description="Images only: when to stop before the budget is used. Default `auto`: "
        "a `patience` of 7. `false` disables early stopping, even for a collapsed run.",
    )
    image_size: int | None = Field(
        None,
        ge=8,
        description="Images only: pixels of the longer side to train on. Larger images are reduced "
        "to it, which takes less time per step; at most the size of the dataset's images. "
        "Default: that size.",
    )
    init_from: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None,
        description="Images only: model whose networks are the starting point (`name`, "
        "`name:version`, `name@alias` or `mdl_…`). Labels that it does not have are added. "
        "Default: random initialization.",
    )


class InitFrom(BaseModel):
    """A model whose weights initialize the training.

    `label_map` holds, for each label of the dataset, its index among the model's labels, or -1 if
    the model does not have the label.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Id of the model.")
    label_map: list[int] = Field(description="Index of each label among the model's; -1 if new.")


class ImageTrainingSpec(TrainingSpec):
    early_stopping: EarlyStoppingSetting = Field("auto", description="When to stop early.")
    init_from: InitFrom | None = Field(None, description="Model that is the starting point.")

    @property
    def patience(self) -> int | Literal["auto"] | None:
        """Patience of early stopping, in evaluations; None if it is disabled."""
        if isinstance(self.early_stopping, EarlyStopping):
            return self.early_stopping.patience
        return "auto" if self.early_stopping == "auto" else None
