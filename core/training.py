"""Resolved specification of a training job: built by the API, executed by a worker."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Budget(BaseModel):
    """The training budget: exactly one of `steps`, `cpu_seconds`, `gpu_seconds`, `wall_minutes`.

    Time counts from the first training step: loading libraries and data is not part of it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    steps: int | None = Field(None, ge=1, description="Number of training steps.")
    cpu_seconds: float | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="User and system CPU time of the training process from its first step on, in "
        "seconds.",
    )
    gpu_seconds: float | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Time for which training holds a GPU, from its first step on, in seconds. The "
        "job then runs on a GPU only.",
    )
    wall_minutes: float | None = Field(
        None, gt=0, le=1_000_000, description="Elapsed time from the first step on, in minutes."
    )

    @model_validator(mode="after")
    def require_exactly_one(self) -> "Budget":
        limits = (self.steps, self.cpu_seconds, self.gpu_seconds, self.wall_minutes)
        if sum(limit is not None for limit in limits) != 1:
            raise ValueError(
                "Set exactly one of `steps`, `cpu_seconds`, `gpu_seconds` and `wall_minutes`."
            )
        return self

    @property
    def seconds(self) -> float | None:
        """The budget in seconds of any clock; None if it is a number of steps."""
        minutes = self.wall_minutes
        return self.cpu_seconds or self.gpu_seconds or (60 * minutes if minutes else None)

    def fraction(self, *, step: int, cpu_s: float, wall_s: float, gpu_s: float) -> float:
        """Return the fraction of the budget that is used, in [0, 1]."""
        if self.steps is not None:
            used = step / self.steps
        elif self.cpu_seconds is not None:
            used = cpu_s / self.cpu_seconds
        elif self.gpu_seconds is not None:
            used = gpu_s / self.gpu_seconds
        else:
            assert self.wall_minutes is not None  # noqa: S101 - the validator requires one of four
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
    """Resolved request of a training job; each modality adds the settings that only it has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: str = Field(description="Kind of data.")
    conditional: bool = Field(description="Whether samples can be requested by label.")
    preset: str = Field(description="Trade-off between speed and quality.")
    budget: Budget = Field(description="When training stops.")
    checkpoint: CheckpointPolicy = Field(description="When checkpoints are saved and dropped.")
    holdout_fraction: float = Field(description="Fraction of the items that is held out.")
    seed: int = Field(description="Random seed.")
    hyperparameters: dict[str, Any] = Field(description="Resolved hyperparameters by name.")
    evaluate: bool = Field(False, description="Whether an evaluation job follows.")
    quality_gate: QualityGate | None = Field(
        None, description="Criteria that the evaluation must meet."
    )

    def check_evaluable(self) -> None:
        """Raise Conflict if the training does not permit that its model is evaluated."""
