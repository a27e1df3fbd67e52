"""Resolved specification of an augmentation job: built by the API, executed by a worker."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

REPORT = "augmentation.json"
MIN_HOLDOUT_ITEMS = 20  # fewer cannot measure the lift
LIFT_CPU_SECONDS = 90.0

Strategy = Literal["balance", "fill_to", "multiply"]


class SkipReason(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(
        description="Stable code of the reason: `unknown_to_model`, `too_few_real_items` or "
        "`max_synthetic_share`."
    )
    message: str = Field(description="Explanation for people.")


class LabelPlan(BaseModel):
    """Number of items of one label: real, requested, and by the source that generates them.

    `requested` = `transforms` + `model` + `skipped`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Label.")
    real: int = Field(description="Number of real items.")
    requested: int = Field(description="Number of synthetic items that the strategy asks for.")
    transforms: int = Field(description="Number of transformed real items.")
    model: int = Field(description="Number of samples of the model.")
    skipped: int = Field(description="Number of requested items that are not generated.")
    skip_reasons: list[SkipReason] = Field(
        description="Why items come from another source than requested, or are not generated."
    )

    @property
    def synthetic(self) -> int:
        return self.transforms + self.model


class AugmentationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = Field(description="Id of the dataset to augment.")
    modality: str = Field(description="Kind of data.")
    name: str = Field(description="Name of the dataset to create.")
    model: str | None = Field(
        description="Id of the model: a version added later does not change the job."
    )
    reference: str | None = Field(description="The model as `name:version`.")
    strategy: Strategy = Field(description="How many items each label gets.")
    labels: list[LabelPlan] = Field(description="Number of items per label and source.")
    transforms: list[dict[str, Any]] = Field(
        description="Transforms to apply, each with its maximum strength."
    )
    include_real: bool = Field(description="Whether the dataset has the real items.")
    holdout_fraction: float = Field(
        description="Fraction of the real items to hold out for measuring the lift."
    )
    holdout_seed: int = Field(description="Random seed of the holdout.")
    seed: int = Field(description="Random seed.")
    evaluate_lift: bool = Field(description="Whether the benefit for a classifier is measured.")
    lift_cpu_seconds: float = Field(description="CPU time in seconds for it.")

    @property
    def synthetic(self) -> int:
        return sum(label.synthetic for label in self.labels)

    @property
    def items(self) -> int:
        real = sum(label.real for label in self.labels)
        return self.synthetic + (real if self.include_real else 0)
