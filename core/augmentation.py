"""What an augmentation job is to make, every value resolved: made by the API, obeyed by workers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

REPORT = "augmentation.json"
MIN_HOLDOUT_ITEMS = 20  # held-out items, to measure with
MIN_ROWS_PER_LABEL = 2  # of a label, for there to be rows between them
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
    """`real` items to learn from, `requested` new ones; `skipped` of these are not generated."""

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
    modality: Literal["image", "tabular"]
    name: str = Field(description="of the dataset that is made")
    model: str | None = Field(description="its id, so that a newer version changes nothing")
    reference: str | None = Field(description="`name:version`")
    strategy: Strategy
    labels: list[LabelPlan]
    transforms: list[dict[str, Any]] = Field(description="of images: what is done, how far at most")
    include_real: bool
    holdout_fraction: float = Field(description="share of the real items that is kept apart")
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
