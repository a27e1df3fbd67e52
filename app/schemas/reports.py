"""What is known of how good a model is, as it crosses HTTP."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class ScoreView(BaseModel):
    name: str
    value: float
    ci95: tuple[float, float]
    direction: Literal["higher", "lower", "half"] = Field(description="half: near .5 is best")
    ceiling: float | None = Field(description="of as many real items that training has seen")
    baseline: float | None = Field(description="of naive samples")
    per_class: dict[str, float]


class VerdictView(BaseModel):
    finding: Literal["good", "poor", "collapsed", "memorised"]
    quality: Literal["good", "poor"]
    reasons: list[str]


class Report(BaseModel):
    """Of the newest evaluation that succeeded; `state` and `error` are of the newest one."""

    model: str
    reference: str
    state: Literal["unmeasured", "measuring", "measured", "failed", "cancelled"]
    error: dict[str, Any] | None = Field(None, description="why the newest evaluation failed")
    job: str | None = Field(None, description="the evaluation that the scores are of")
    measured_at: datetime | None = None
    samples: int | None = None
    held_out: int | None = Field(None, description="real items that training has not seen")
    seed: int | None = None
    verdict: VerdictView | None = None
    unmet: list[str] = Field([], description="of what the training job's `accept` asks")
    scores: list[ScoreView] = []
    statistics: list[dict[str, Any]] = Field([], description="of rows: real beside synthetic")
