"""Resolved specification of a training job: built by the API, executed by a worker."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Budget(BaseModel):
    """The training budget: exactly one of `steps`, `cpu_seconds` and `wall_minutes`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    steps: int | None = Field(None, ge=1, description="Number of training steps.")
    cpu_seconds: float | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="User and system CPU time of the training process, in seconds.",
    )
    wall_minutes: float | None = Field(
        None, gt=0, le=1_000_000, description="Elapsed time, in minutes."
    )

    @model_validator(mode="after")
    def require_exactly_one(self) -> "Budget":
        limits = (self.steps, self.cpu_seconds, self.wall_minutes)
        if sum(limit is not None for limit in limits) != 1:
            raise ValueError("Set exactly one of `steps`, `cpu_seconds` and `wall_minutes`.")
        return self

    def fraction(self, *, step: int, cpu_s: float, wall_s: float) -> float:
        """Return the fraction of the budget that is used, in [0, 1]."""
        if self.steps is not None:
            used = step / self.steps
        elif self.cpu_seconds is not None:
            used = cpu_s / self.cpu_seconds
        else:
            assert self.wall_minutes is not None  # noqa: S101 - the validator requires one of three
            used = wall_s / (60 * self.wall_minutes)
        return min(1.0, used)


class CheckpointPolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    interval_steps: int | Literal["auto"] = Field(
        "auto",
        description="Training steps between checkpoints. Default `auto`: the server's checkpoint "
        "interval, which is in seconds.",
    )
    keep_last: int = Field(
        3,
        ge=1,
        le=100,
        description="Number of newest checkpoints to keep, in addition to the best one. "
        "Default: 3.",
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


class InitFrom(BaseModel):
    """A model whose weights initialize the training.

    `label_map` holds, for each label of the dataset, its index among the model's labels, or -1 if
    the model does not have the label.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    label_map: list[int]


class DifferentialPrivacy(BaseModel):
    """Privacy budget (epsilon, delta) of one row, over everything that reads the training rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(gt=0, le=100, description="Bound on the privacy loss.")
    delta: float = Field(
        gt=0,
        lt=0.1,
        description="Probability that the bound does not hold. Must be less than 1 / number of "
        "training rows.",
    )
    column_domains: dict[str, dict[str, Any]] = Field(
        {},
        description="Public domain of each column, independent of the rows. Either `values` "
        "(strings, or true and false), or `min` and `max`, with `decimals` (default: 0) and "
        "optionally the common `values` between them. `missing` (default: false) allows missing "
        "values.",
    )


class ScoreBound(BaseModel):
    """Bounds on one evaluation score; every bound that is set must hold."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    min: float | None = Field(None, description="Minimum score.")
    max: float | None = Field(None, description="Maximum score.")
    min_fraction_of_reference: float | None = Field(
        None,
        gt=0,
        le=2,
        description="Minimum score as a fraction of the score that real items reach: 0.9 means "
        "90 %. Only for scores where higher is better.",
    )

    @model_validator(mode="after")
    def require_any(self) -> "ScoreBound":
        if self.min is None and self.max is None and self.min_fraction_of_reference is None:
            raise ValueError("Set at least one of `min`, `max` and `min_fraction_of_reference`.")
        return self


class QualityGate(BaseModel):
    """Criteria that a model's evaluation must meet before the server returns its samples."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    allowed_verdicts: list[Literal["good", "poor", "collapsed", "memorized"]] = Field(
        ["good", "poor"],
        min_length=1,
        description="Verdicts that pass the gate. Default: `good` and `poor`.",
    )
    scores: dict[str, ScoreBound] = Field(
        {}, max_length=20, description="Bounds by score name, as in the report."
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
