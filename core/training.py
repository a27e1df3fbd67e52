"""What a training job is to do, every value resolved: made by the API, obeyed by the worker."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Budget(BaseModel):
    """When to stop: exactly one of the three."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    steps: int | None = Field(None, ge=1)
    cpu_seconds: float | None = Field(
        None, ge=1, le=10_000_000, description="user and system time of the training process"
    )
    minutes: float | None = Field(None, gt=0, le=1_000_000, description="of the clock on the wall")

    @model_validator(mode="after")
    def one(self) -> "Budget":
        if sum(value is not None for value in (self.steps, self.cpu_seconds, self.minutes)) != 1:
            raise ValueError("give exactly one of steps, cpu_seconds and minutes")
        return self

    def fraction(self, *, step: int, cpu_s: float, wall_s: float) -> float:
        """How much of the budget is used, from 0 to 1."""
        if self.steps is not None:
            used = step / self.steps
        elif self.cpu_seconds is not None:
            used = cpu_s / self.cpu_seconds
        else:
            assert self.minutes is not None  # noqa: S101 - one of the three is given
            used = wall_s / (60 * self.minutes)
        return min(1.0, used)


class CheckpointPolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    every: int | Literal["auto"] = Field(
        "auto", description="steps; auto: as the service's checkpoint interval, in seconds"
    )
    keep: int = Field(3, ge=1, le=100, description="newest checkpoints that are kept")


class WarmStart(BaseModel):
    """A model to begin with; `labels` has for each label of the dataset its place among those of
    the model, or -1 if it is new there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    labels: list[int]


class Privacy(BaseModel):
    """What one row may change of a model: (epsilon, delta), over all that is read of the rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(gt=0, le=100)
    delta: float = Field(gt=0, lt=0.1, description="less than one over the rows")
    columns: dict[str, dict[str, Any]] = Field(
        {},
        description="what each column may hold, whatever the table holds: `values` (texts, or true "
        "and false), or `min` and `max`, with `decimals` (0) and the `values` between them that "
        "are common; `missing` (false) where values may be missing",
    )


class Bound(BaseModel):
    """What a score has to be; all that is given holds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    at_least: float | None = None
    at_most: float | None = None
    of_ceiling: float | None = Field(
        None,
        gt=0,
        le=2,
        description="at least this share of what real items reach, where higher is better: 0.9 "
        "for 90 %",
    )

    @model_validator(mode="after")
    def any_of_them(self) -> "Bound":
        if self.at_least is None and self.at_most is None and self.of_ceiling is None:
            raise ValueError("give at_least, at_most or of_ceiling")
        return self


class Accept(BaseModel):
    """What an evaluation has to find before samples of a model are handed out."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    findings: list[Literal["good", "poor", "collapsed", "memorised"]] = Field(
        ["good", "poor"], min_length=1, description="one of them is the verdict"
    )
    scores: dict[str, Bound] = Field({}, max_length=20, description="by name, as in the report")


class TrainingSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["images", "rows"]
    label: str | None = None  # what samples can be asked for by: "class" of images, or a column
    preset: str
    budget: Budget
    checkpoint: CheckpointPolicy
    holdout: float
    seed: int
    config: dict[str, Any]
    early_stop: Literal["auto", "never"] | int = "auto"
    warm_start: WarmStart | None = None
    privacy: Privacy | None = None
    evaluate: bool = False
    accept: Accept | None = None
