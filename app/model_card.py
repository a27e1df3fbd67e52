"""Model card: a model's training data, training, evaluation and limitations, as JSON.

The service generates the card from the database; nobody edits it by hand.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from app.schemas.reports import Report
from core.tables import Model
from job_kinds.results import Interval
from job_kinds.training.request import TrainingConfig

NO_PRIVACY_LIMITATION = (
    "The model was trained without differential privacy, so unusual training items may be "
    "recognizable in the samples. Check the samples for near copies before you share samples of "
    "personal data."
)
LIMITATIONS = (
    "The samples reflect the training data, including its errors and biases. Cases that are rare "
    "in the training data are rare or missing in the samples.",
    "Samples are reproducible bit for bit only with the same type of device and the same version "
    "of the service.",
)


class CardLabel(BaseModel):
    name: str = Field(description="Label.")
    count: int | None = Field(description="Number of training items.")


class CardColumn(BaseModel):
    name: str = Field(description="Name of the column.")
    type: str = Field(description="Data type of the values.")
    nullable: bool = Field(description="Whether values may be missing.")


class CardData(BaseModel):
    dataset: str | None = Field(
        description="Id of the dataset; null if it was deleted or the model was imported."
    )
    name: str | None = Field(description="Name of the dataset.")
    sha256: str | None = Field(description="SHA-256 of the normalized content.")
    labels: list[CardLabel] = Field(
        description="Name and number of training items of each label. The number is null if "
        "differential privacy withholds it."
    )
    image: dict[str, int] | None = Field(
        description="Images only: height and width in pixels, and number of channels."
    )
    columns: list[CardColumn] | None = Field(
        description="Tables only: name, type and nullability of each column."
    )
    target_column: str | None = Field(
        description="Tables only: the column whose values are the labels."
    )


class CardTraining(BaseModel):
    job: str | None = Field(description="Id of the training job.")
    step: int = Field(description="Training step of the weights.")
    seed: int | None = Field(description="Random seed.")
    holdout_fraction: float | None = Field(
        description="Fraction of the training items that was held out from training."
    )
    resolved: TrainingConfig = Field(description="Resolved configuration of the training.")
    code: dict[str, str] = Field(description="Versions of the software that trained the model.")


class CardScore(BaseModel):
    name: str = Field(description="Name of the score.")
    value: float = Field(description="Value of the samples.")
    ci95: Interval = Field(description="95 % confidence interval: lower and upper bound.")
    real_reference: float | None = Field(description="The same score for real items.")
    naive_baseline: float | None = Field(
        description="The same score for samples of a simple baseline without a neural network."
    )


class CardEvaluation(BaseModel):
    """Summary of the newest successful evaluation.

    The full report is at `/v1/models/{reference}/report`.
    """

    evaluated_at: datetime = Field(description="Time of the evaluation.")
    verdict: str = Field(description="Conclusion from all scores.")
    reasons: list[str] = Field(description="Reasons for the verdict.")
    failed_criteria: list[str] = Field(
        description="Criteria of the training job's `quality_gate` that the model does not meet."
    )
    samples: int = Field(description="Number of samples that were evaluated.")
    holdout_items: int = Field(description="Number of real items that training has not seen.")
    scores: list[CardScore] = Field(description="Scores of the model.")

    @classmethod
    def from_report(cls, report: Report) -> "CardEvaluation | None":
        if report.verdict is None:
            return None
        return cls(
            evaluated_at=report.evaluated_at,
            verdict=report.verdict.verdict,
            reasons=report.verdict.reasons,
            failed_criteria=report.failed_criteria,
            samples=report.samples,
            holdout_items=report.holdout_items,
            scores=[CardScore.model_validate(s, from_attributes=True) for s in report.scores],
        )


class ModelCard(BaseModel):
    name: str = Field(description="Name of the model.")
    version: int = Field(description="Version of the model.")
    modality: str = Field(description="`image` or `tabular`.")
    description: str | None = Field(description="Description that the client wrote.")
    tags: dict[str, str] = Field(description="Keys and values that the client chose.")
    created_at: str = Field(description="Time of creation.")
    sha256: str = Field(description="SHA-256 of the weights.")
    bytes: int = Field(description="Size of the weights in bytes.")
    parameters: int = Field(description="Number of parameters.")
    data: CardData = Field(description="Training data.")
    training: CardTraining = Field(description="Training.")
    evaluation: CardEvaluation | None = Field(
        description="Null if the model has not been evaluated on this server."
    )
    limitations: list[str] = Field(description="What to consider before samples are used.")


def build_card(model: Model, report: Report) -> ModelCard:
    manifest = model.manifest
    dataset, config = manifest.get("dataset", {}), manifest["training"]
    columns = manifest.get("columns")
    return ModelCard(
        name=model.name,
        version=model.version,
        modality=model.modality,
        description=model.description,
        tags=model.tags,
        created_at=model.created_at.isoformat(),
        sha256=model.weights["sha256"],
        bytes=model.weights["bytes"],
        parameters=manifest["parameters"],
        data=CardData(
            dataset=model.dataset_id,
            name=dataset.get("name"),
            sha256=dataset.get("sha256"),
            labels=[{k: label[k] for k in ("name", "count")} for label in manifest["labels"]],
            image=manifest.get("image"),
            columns=columns and [{k: c[k] for k in ("name", "type", "nullable")} for c in columns],
            target_column=manifest.get("target_column"),
        ),
        training=CardTraining(
            job=model.job_id,
            step=model.step,
            seed=config.get("seed"),
            holdout_fraction=config.get("holdout_fraction"),
            resolved=config,
            code=manifest.get("code", {}),
        ),
        evaluation=CardEvaluation.from_report(report),
        limitations=[*LIMITATIONS, _privacy_limitation(config.get("differential_privacy"))],
    )


def _privacy_limitation(budget: Mapping[str, Any] | None) -> str:
    if budget is None:
        return NO_PRIVACY_LIMITATION
    return (
        f"The model was trained with differential privacy: epsilon {budget['epsilon']:g}, delta "
        f"{budget['delta']:g}. The guarantee covers single rows and treats the number of rows as "
        "public. If several models are trained on the same dataset, their epsilons and deltas "
        "add up."
    )
