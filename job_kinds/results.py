"""Results of succeeded jobs, one model for each kind of job."""

from typing import Annotated

from pydantic import BaseModel, Field

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]


class TrainingResult(BaseModel):
    model: str = Field(description="Id of the model (`mdl_…`).")
    model_version: str = Field(description="The model as `name:version`.")
    step: int = Field(description="Training step of its weights.")


class GenerationResult(BaseModel):
    count: int = Field(description="Number of samples.")
    labels: dict[str, int] | None = Field(description="Number of samples by label.")
    seed: int = Field(description="Random seed.")
    format: str = Field(description="Format of the files.")
    shards: int = Field(description="Number of files.")
    bytes: int = Field(description="Total size of the files in bytes.")
    manifest: str = Field(description="Artifact that lists the files with their SHA-256.")
    output_uri: str | None = Field(
        None, description="Folder that the files were copied to; null without `output_uri`."
    )


class MainScore(BaseModel):
    """A score of the report, without its explanation."""

    value: float = Field(description="Value of the samples.")
    ci95: Interval = Field(description="95 % confidence interval: lower and upper bound.")
    real_reference: float | None = Field(description="The same score of real items.")


class EvaluationResult(BaseModel):
    verdict: str = Field(description="`good`, `poor`, `collapsed` or `memorized`.")
    quality: str = Field(description="`good` or `poor`.")
    reasons: list[str] = Field(description="Reasons for the verdict.")
    failed_criteria: list[str] = Field(
        description="Criteria of the training job's `quality_gate` that the model fails."
    )
    scores: dict[str, MainScore] = Field(
        {}, description="Main scores by name; the report has all of them."
    )
    report: str = Field(description="Artifact with the full report.")


class Gain(BaseModel):
    value: float = Field(description="Difference to the real items alone.")
    ci95: Interval = Field(description="95 % confidence interval: lower and upper bound.")


class LiftResult(BaseModel):
    """Accuracy of classifiers by the set of items that they were trained on.

    The sets are `real`, `oversampled` (real items, repeated), `transforms`, `model` and `combined`.
    """

    metric: str = Field(description="Measured on held-out real items: `balanced_accuracy`.")
    real: float = Field(description="Trained on the real items.")
    oversampled: float | None = Field(None, description="Trained on repeated real items.")
    transforms: float | None = Field(None, description="With transformed real items.")
    model: float | None = Field(None, description="With samples of the model.")
    combined: float | None = Field(None, description="With both.")
    ci95: dict[str, Interval] = Field(description="95 % confidence intervals by set.")
    gain: dict[str, Gain] = Field(description="Differences to `real` by set.")
    items: dict[str, int] = Field(description="Number of items of each set.")
    per_label: dict[str, dict[str, float]] = Field(description="Recall by set and label.")
    rounds: int = Field(description="Number of classifiers of each set.")
    holdout_items: int = Field(description="Number of held-out real items.")


class RecommendationView(BaseModel):
    use: str | None = Field(description="Set to train on; null for the real items alone.")
    reason: str = Field(description="Explanation for people.")


class AugmentationResult(BaseModel):
    dataset: str = Field(description="Id of the new dataset (`ds_…`).")
    items: int = Field(description="Number of its items.")
    synthetic: int = Field(description="Number of synthetic items among them.")
    report: str = Field(description="Artifact with the full report.")
    lift: LiftResult | None = Field(
        None, description="Benefit for a classifier; null unless it was measured."
    )
    recommendation: RecommendationView | None = Field(
        None, description="Conclusion from the lift; null unless it was measured."
    )
