"""What a training job is to do, every value resolved: made by the API, obeyed by the worker."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Budget(BaseModel):
    """When to stop: exactly one of the three."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    steps: int | None = Field(None, ge=1)
    cpu_seconds: float | None = Field(
        None, ge=1, le=10_000_000, description="user and system time of the training process"
    )
    wall_minutes: float | None = Field(
        None, gt=0, le=1_000_000, description="of the clock on the wall"
    )

    @model_validator(mode="after")
    def require_exactly_one(self) -> "Budget":
        if (
            sum(value is not None for value in (self.steps, self.cpu_seconds, self.wall_minutes))
            != 1
        ):
            raise ValueError("give exactly one of steps, cpu_seconds and wall_minutes")
        return self

    def fraction(self, *, step: int, cpu_s: float, wall_s: float) -> float:
        """How much of the budget is used, from 0 to 1."""
        if self.steps is not None:
            used = step / self.steps
        elif self.cpu_seconds is not None:
            used = cpu_s / self.cpu_seconds
        else:
            assert self.wall_minutes is not None  # noqa: S101 - one of the three is given
            used = wall_s / (60 * self.wall_minutes)
        return min(1.0, used)


class CheckpointPolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    interval_steps: int | Literal["auto"] = Field(
        "auto", description="steps; auto: as the service's checkpoint interval, in seconds"
    )
    keep_last: int = Field(3, ge=1, le=100, description="newest checkpoints that are kept")


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


class InitFrom(BaseModel):
    """A model to begin with; `label_map` has for each label of the dataset its place among those of
    the model, or -1 if it is new there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    label_map: list[int]


class DifferentialPrivacy(BaseModel):
    """What one row may change of a model: (epsilon, delta), over all that is read of the rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(gt=0, le=100)
    delta: float = Field(gt=0, lt=0.1, description="less than one over the rows")
    column_domains: dict[str, dict[str, Any]] = Field(
        {},
        description="what each column may hold, whatever the table holds: `values` (texts, or true "
        "and false), or `min` and `max`, with `decimals` (0) and the `values` between them that "
        "are common; `missing` (false) where values may be missing",
    )


class ScoreBound(BaseModel):
    """What a score has to be; all that is given holds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    min: float | None = None
    max: float | None = None
    min_fraction_of_reference: float | None = Field(
        None,
        gt=0,
        le=2,
        description="at least this share of what real items reach, where higher is better: 0.9 "
        "for 90 %",
    )

    @model_validator(mode="after")
    def require_any(self) -> "ScoreBound":
        if self.min is None and self.max is None and self.min_fraction_of_reference is None:
            raise ValueError("give min, max or min_fraction_of_reference")
        return self


class QualityGate(BaseModel):
    """What an evaluation has to find before samples of a model are handed out."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    allowed_verdicts: list[Literal["good", "poor", "collapsed", "memorized"]] = Field(
        ["good", "poor"], min_length=1, description="one of them is the verdict"
    )
    scores: dict[str, ScoreBound] = Field(
        {}, max_length=20, description="by name, as in the report"
    )


class TrainingSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: Literal["image", "tabular"]
    conditional: bool  # whether samples can be requested by label
    target_column: str | None = None  # the column with the labels of a conditional tabular model
    preset: str
    budget: Budget
    checkpoint: CheckpointPolicy
    holdout_fraction: float
    seed: int
    hyperparameters: dict[str, Any]
    early_stopping: EarlyStoppingSetting = "auto"
    init_from: InitFrom | None = None
    differential_privacy: DifferentialPrivacy | None = None
    evaluate: bool = False
    quality_gate: QualityGate | None = None

    @property
    def patience(self) -> int | Literal["auto"] | None:
        """Patience of early stopping, in evaluations; None if it is disabled."""
        if isinstance(self.early_stopping, EarlyStopping):
            return self.early_stopping.patience
        return "auto" if self.early_stopping == "auto" else None
