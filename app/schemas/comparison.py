"""Models side by side, as they cross HTTP."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.schemas.reports import ScoreView, VerdictView


class CheckpointMetrics(BaseModel):
    step: int
    metrics: dict[str, float] = Field(description="what training has looked at by itself")


class ModelSummary(BaseModel):
    """One model."""

    model: str
    reference: str
    modality: str
    dataset: str | None
    state: Literal["not_evaluated", "evaluating", "evaluated", "failed", "cancelled"]
    verdict: VerdictView | None
    failed_criteria: list[str]
    samples: int | None
    holdout_items: int | None
    scores: dict[str, ScoreView]
    training: dict[str, Any] = Field(
        description="preset, architecture, step, parameters, seed, cpu_s of its job"
    )
    checkpoints: list[CheckpointMetrics] = Field(description="that its job has kept, newest first")


class BestModel(BaseModel):
    reference: str
    significant: bool = Field(description="its interval is beyond those of all the others")


class Comparison(BaseModel):
    models: list[ModelSummary] = Field(description="in the order in which they were named")
    best: dict[str, BestModel] = Field(
        description="by score, of those that more than one model has; none where the models were "
        "measured on different data sets, or are equal"
    )
    warnings: list[str] = Field(description="why figures may not be comparable")
