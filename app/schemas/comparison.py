"""Response bodies of the model comparison."""

from pydantic import BaseModel, Field

from app.schemas.models import EvaluationState
from app.schemas.reports import ScoreView, VerdictView
from job_kinds.request import WarningView


class CheckpointMetrics(BaseModel):
    step: int = Field(description="Training step of the checkpoint.")
    metrics: dict[str, float] = Field(description="Metrics recorded during training.")


class TrainingSummary(BaseModel):
    preset: str | None = Field(description="Trade-off between speed and quality.")
    architecture: str | None = Field(description="Architecture of the networks.")
    step: int = Field(description="Training step of the weights.")
    parameters: int = Field(description="Number of parameters.")
    seed: int | None = Field(description="Random seed.")
    cpu_s: float | None = Field(description="CPU time of the training job in seconds.")


class ModelSummary(BaseModel):
    """One of the compared models."""

    model: str = Field(description="Model id (`mdl_…`).")
    reference: str = Field(description="`name:version` of the model.")
    modality: str = Field(description="`image` or `tabular`.")
    dataset: str | None = Field(
        description="Id of the training dataset; null if it was deleted or the model was imported."
    )
    state: EvaluationState = Field(description="State of the newest evaluation.")
    verdict: VerdictView | None = Field(
        description="Verdict of the newest successful evaluation; null if there is none."
    )
    failed_criteria: list[str] = Field(
        description="Criteria of the training job's `quality_gate` that the model fails."
    )
    samples: int | None = Field(description="Number of samples that were evaluated.")
    holdout_items: int | None = Field(
        description="Number of real items that training did not use and the evaluation did."
    )
    scores: dict[str, ScoreView] = Field(description="Scores by name.")
    training: TrainingSummary = Field(description="Training of the model.")
    checkpoints: list[CheckpointMetrics] = Field(
        description="Stored checkpoints of the training job, newest first."
    )


class BestModel(BaseModel):
    reference: str = Field(description="`name:version` of the model.")
    significant: bool = Field(
        description="Whether its 95 % confidence interval is better than, and does not overlap, "
        "those of all other models."
    )


class Comparison(BaseModel):
    models: list[ModelSummary] = Field(description="The models, in the requested order.")
    best: dict[str, BestModel] = Field(
        description="Best model by score name, for scores that at least two models have. Ties are "
        "omitted. Empty if the models were evaluated on different datasets."
    )
    warnings: list[WarningView] = Field(description="Reasons why scores may not be comparable.")
