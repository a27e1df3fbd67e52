"""Model card: a model's training data, training, evaluation and limitations, as JSON and HTML.

The service generates the card from the database; nobody edits it by hand.
"""

import html
from collections.abc import Mapping, Sequence
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


_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.2rem .6rem;"
    "text-align:left;vertical-align:top;overflow-wrap:anywhere}td{min-width:3rem}"
    "code{word-break:break-all}div{overflow-x:auto;margin-bottom:1rem}"
)


def render_page(card: ModelCard) -> str:
    """Return the card as an HTML page without external resources."""
    data, training = card.data, card.training
    model_fields = {
        "modality": card.modality,
        "created": card.created_at,
        "parameters": f"{card.parameters:,}",
        "bytes": f"{card.bytes:,}",
        "sha256": card.sha256,
    }
    data_fields = {
        "dataset": data.name,
        "sha256": data.sha256,
        "target column": data.target_column,
        **{f"image {name}": value for name, value in (data.image or {}).items()},
    }
    training_fields = {
        "step": training.step,
        "seed": training.seed,
        "holdout fraction": training.holdout_fraction,
    }
    config = training.resolved
    settings = {k: v for k, v in config.items() if k != "hyperparameters"} | config.get(
        "hyperparameters", {}
    )
    title = html.escape(f"{card.name}:{card.version}")
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style><h1>{title}</h1>",
        f"<p>{html.escape(card.description)}</p>" if card.description else "",
        _table(model_fields),
        # Users choose the names of tags. A separate table sets them off from the model's fields.
        "<h2>Tags</h2>" + _table(card.tags) if card.tags else "",
        "<h2>Training data</h2>",
        _table(data_fields),
        _rows(["Label", "Training items"], [tuple(label.values()) for label in data.labels]),
        _rows(["Column", "Type"], [(c["name"], c["type"]) for c in data.columns or []]),
        "<h2>Training</h2>",
        _table(training_fields | training.code),
        _table(_flatten(settings)),
        "<h2>Evaluation</h2>",
        _evaluation(card.evaluation),
        "<h2>Limitations</h2><ul>",
        *(f"<li>{html.escape(limitation)}</li>" for limitation in card.limitations),
        "</ul></html>",
    ]
    return "".join(parts)


def _evaluation(evaluation: CardEvaluation | None) -> str:
    if evaluation is None:
        return "<p>The model has not been evaluated on this server.</p>"
    failed = [f"quality gate failed: {criterion}" for criterion in evaluation.failed_criteria]
    reasons = html.escape("; ".join([*evaluation.reasons, *failed]).removesuffix("."))
    verdict = f"<p><b>{evaluation.verdict.capitalize()}</b>: {reasons}.</p>"
    scores = [
        (
            s.name,
            f"{s.value:.3f}",
            f"{s.ci95[0]:.3f} … {s.ci95[1]:.3f}",
            _format_score(s.real_reference),
            _format_score(s.naive_baseline),
        )
        for s in evaluation.scores
    ]
    headers = ("Score", "Samples", "95 % interval", "Real items", "Naive baseline")
    return verdict + _rows(headers, scores)


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings, such as the budget, under names like `budget steps`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name} ")
        else:
            flat[prefix + name] = value
    return flat


def _format_score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(fields: Mapping[str, Any]) -> str:
    cells = [
        f"<tr><th>{html.escape(str(name))}<td><code>{html.escape(str(value))}</code>"
        for name, value in fields.items()
        if value is not None
    ]
    return f"<div><table>{''.join(cells)}</table></div>"


def _rows(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(name)}" for name in headers)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape('withheld' if value is None else str(value))}" for value in row
        )
        for row in rows
    )
    return f"<div><table><tr>{head}{body}</table></div>"
