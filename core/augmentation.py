"""What an augmentation job is to make, every value resolved: made by the API, obeyed by workers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

REPORT = "augmentation.json"
ENOUGH = 20  # held-out items, to measure with
LEAST_ROWS = 2  # of a label, for there to be rows between them
MEASURE_CPU_S = 90.0

Strategy = Literal["balance", "top_up", "multiply"]


class LabelPlan(BaseModel):
    """`have` real items to learn from, `need` more wanted; `refused` of these are not made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    have: int
    need: int
    classical: int
    gan: int
    refused: int
    reasons: list[str] = Field(description="why some come from another source, or are not made")

    @property
    def made(self) -> int:
        return self.classical + self.gan


class AugmentationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    kind: Literal["images", "rows"]
    name: str = Field(description="of the dataset that is made")
    model: str | None = Field(description="its id, so that a newer version changes nothing")
    reference: str | None = Field(description="`name:version`")
    strategy: Strategy
    labels: list[LabelPlan]
    transforms: list[dict[str, Any]] = Field(description="of images: what is done, how far at most")
    include_real: bool
    holdout: float = Field(description="share of the real items that is kept apart")
    holdout_seed: int
    seed: int
    measure_lift: bool
    measure_cpu_seconds: float

    @property
    def made(self) -> int:
        return sum(label.made for label in self.labels)

    @property
    def items(self) -> int:
        real = sum(label.have for label in self.labels)
        return self.made + (real if self.include_real else 0)
