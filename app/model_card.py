"""Model card: a model's training data, training, evaluation and limitations, as JSON.

The service generates the card from the database; nobody edits it by hand.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from app.schemas.reports import Report
from core.tables import Model

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


class CardData(BaseModel):
    dataset: str | None = Field(
        description="Id of the dataset; null if it was deleted or the model was imported."
    )
    name: str | None
    sha256: str | None = Field(description="SHA-256 of the normalized content.")
    labels: list[dict[str, Any]] = Field(
        description="Name and number of training items of each label. The number is null if "
        "differential privacy withholds it."
    )
    image: dict[str, int] | None
    columns: list[dict[str, Any]] | None = Field(
        description="Tables only: name, type and nullability of each column."
    )
    target_column: str | None = Field(
        description="Tables only: the column whose values are the labels."
    )


class CardTraining(BaseModel):
    job: str | None
    step: int
    seed: int | None
    holdout_fraction: float | None = Field(
        description="Fraction of the training items that was held out from training."
    )
    resolved: dict[str, Any]
    code: dict[str, str] = Field(description="Versions of the software that trained the model.")


class CardScore(BaseModel):
    name: str
    value: float
    ci95: tuple[float, float]
    real_reference: float | None = Field(description="The same score for real items.")
    naive_baseline: float | None = Field(
        description="The same score for samples of a simple baseline without a neural network."
    )


class CardEvaluation(BaseModel):
    """Summary of the newest successful evaluation.

    The full report is at `/v1/models/{reference}/report`.
    """

    evaluated_at: datetime
    verdict: str
    reasons: list[str]
    failed_criteria: list[str] = Field(
        description="Criteria of the training job's `quality_gate` that the model does not meet."
    )
    samples: int
    holdout_items: int = Field(description="Number of real items that training has not seen.")
    scores: list[CardScore]

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
    name: str
    version: int
    modality: str
    description: str | None
    tags: dict[str, str]
    created_at: str
    sha256: str = Field(description="SHA-256 of the weights.")
    bytes: int
    parameters: int
    data: CardData
    training: CardTraining
    evaluation: CardEvaluation | None = Field(
        description="Null if the model has not been evaluated on this server."
    )
    limitations: list[str]


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
