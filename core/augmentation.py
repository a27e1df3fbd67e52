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

    name: str
    real: int
    requested: int
    transforms: int
    model: int
    skipped: int
    skip_reasons: list[SkipReason] = Field(
        description="Why items come from another source than requested, or are not generated."
    )

    @property
    def synthetic(self) -> int:
        return self.transforms + self.model


class AugmentationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    modality: str
    name: str = Field(description="Name of the dataset to create.")
    model: str | None = Field(
        description="Id of the model: a version added later does not change the job."
    )
    reference: str | None = Field(description="The model as `name:version`.")
    strategy: Strategy
    labels: list[LabelPlan]
    transforms: list[dict[str, Any]] = Field(
        description="Transforms to apply, each with its maximum strength."
    )
    include_real: bool
    holdout_fraction: float = Field(
        description="Fraction of the real items to hold out for measuring the lift."
    )
    holdout_seed: int
    seed: int
    evaluate_lift: bool
    lift_cpu_seconds: float

    @property
    def synthetic(self) -> int:
        return sum(label.synthetic for label in self.labels)

    @property
    def items(self) -> int:
        real = sum(label.real for label in self.labels)
        return self.synthetic + (real if self.include_real else 0)
