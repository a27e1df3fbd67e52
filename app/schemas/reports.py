"""What is known of how good a model is, as it crosses HTTP."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class ScoreView(BaseModel):
    name: str
    value: float
    ci95: tuple[float, float]
    direction: Literal["higher", "lower", "target"] = Field(
        description="Which values are better; target: those near `target`."
    )
    target: float | None = Field(None, description="The best value, where `direction` is target.")
    real_reference: float | None = Field(
        description="of as many real items that training has seen; label_accuracy: of unseen ones"
    )
    naive_baseline: float | None = Field(description="of naive samples")
    per_label: dict[str, float] = Field(description="of labels with 10 items or more")


class VerdictView(BaseModel):
    verdict: Literal["good", "poor", "collapsed", "memorized"]
    quality: Literal["good", "poor"]
    reasons: list[str]


class Histogram(BaseModel):
    edges: list[float]
    real: list[float] = Field(description="shares")
    synthetic: list[float]


class ColumnStatistics(BaseModel):
    """Of a column of rows, or of the brightness or contrast of images, real beside synthetic."""

    column: str
    type: str | None = None
    label: str | None = Field(None, description="null: of all items")
    real: dict[str, Any] = Field(
        description="count, missing, mean, std, min, q25, median, q75, max as far as there are any "
        "values, times in microseconds since 1970; of names their shares"
    )
    synthetic: dict[str, Any]
    histogram: Histogram | None = None


class ColumnAssociations(BaseModel):
    columns: list[str]
    real: list[list[float]] = Field(
        description="0: independent, 1: one says the other (Cramér's V)"
    )
    synthetic: list[list[float]]


class Scatter(BaseModel):
    """Some items on the two main directions of the real ones: of rows, or of images' features."""

    explained_variance_ratio: float = Field(description="share of the variance")
    real: list[tuple[float, float]]
    synthetic: list[tuple[float, float]]


class Report(BaseModel):
    """Of the newest evaluation that succeeded; `state` and `error` are of the newest one."""

    model: str
    reference: str
    state: Literal["not_evaluated", "evaluating", "evaluated", "failed", "cancelled"]
    error: dict[str, Any] | None = Field(None, description="why the newest evaluation failed")
    not_evaluable_reason: str | None = Field(
        None, description="why a model that was not measured cannot be"
    )
    job: str | None = Field(None, description="the evaluation that the scores are of")
    evaluated_at: datetime | None = None
    samples: int | None = None
    holdout_items: int | None = Field(None, description="real items that training has not seen")
    seed: int | None = None
    verdict: VerdictView | None = None
    failed_criteria: list[str] = Field(
        [], description="of what the training job's `quality_gate` asks"
    )
    scores: list[ScoreView] = []
    gallery_labels: dict[str, list[str]] = Field(
        {}, description="of images: the labels of the rows of `samples.png` and `real.png`"
    )
    statistics: list[ColumnStatistics] = []
    column_associations: ColumnAssociations | None = Field(
        None, description="of the columns of rows"
    )
    scatter: Scatter | None = None
    nearest_train_distance: Histogram | None = Field(
        None, description="how far the nearest training item is from unseen real items and samples"
    )
