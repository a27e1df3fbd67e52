"""What a model was made of and how, and what it is not good for: written by the service, not by
hand."""

import html
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from app.schemas.reports import Report
from core.tables import Model

NO_PRIVACY_LIMITATION = (
    "It was trained without differential privacy: an item that stands out may be recognised in "
    "samples. Look for near copies before samples of personal data leave the house."
)
LIMITATIONS = (
    "It knows the items that it has learned from and no others: what is rare among them is rare or "
    "missing in what it makes, and so are their errors and their prejudices.",
    "Samples are reproducible to the bit on one kind of device and version of the service.",
)


class CardData(BaseModel):
    dataset: str | None = Field(description="null when it was deleted, or never was here")
    name: str | None
    sha256: str | None = Field(description="of the normalised content")
    labels: list[dict[str, Any]] = Field(
        description="name and items learned from, null where privacy keeps their number"
    )
    image: dict[str, int] | None
    columns: list[dict[str, Any]] | None = Field(description="of a table: name, type, nullable")
    target_column: str | None = Field(
        description="of a table: the column that labels are values of"
    )


class CardTraining(BaseModel):
    job: str | None
    step: int
    seed: int | None
    holdout_fraction: float | None = Field(
        description="share of the items that was not learned from"
    )
    resolved: dict[str, Any]
    code: dict[str, str] = Field(description="versions of what it was trained with")


class CardScore(BaseModel):
    name: str
    value: float
    ci95: tuple[float, float]
    real_reference: float | None = Field(description="of real items")
    naive_baseline: float | None = Field(description="of naive samples")


class CardEvaluation(BaseModel):
    """Of the newest evaluation that succeeded; `/v1/models/{reference}/report` has all of it."""

    evaluated_at: datetime
    verdict: str
    reasons: list[str]
    failed_criteria: list[str] = Field(description="of what the training job's `quality_gate` asks")
    samples: int
    holdout_items: int = Field(description="real items that training has not seen")
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
    sha256: str = Field(description="of the weights")
    bytes: int
    parameters: int
    data: CardData
    training: CardTraining
    evaluation: CardEvaluation | None = Field(description="null: it was not measured here")
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
        limitations=[*LIMITATIONS, _privacy(config.get("differential_privacy"))],
    )


def _privacy(promised: Mapping[str, Any] | None) -> str:
    if promised is None:
        return NO_PRIVACY_LIMITATION
    return (
        f"It was trained with differential privacy: epsilon {promised['epsilon']:g}, delta "
        f"{promised['delta']:g}, of one row, where how many rows there are is public. Several "
        "models of one dataset add theirs up."
    )


_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.2rem .6rem;"
    "text-align:left;vertical-align:top;overflow-wrap:anywhere}td{min-width:3rem}"
    "code{word-break:break-all}div{overflow-x:auto;margin-bottom:1rem}"
)


def render_page(card: ModelCard) -> str:
    """HTML that loads nothing."""
    data, training = card.data, card.training
    facts = {
        "modality": card.modality,
        "created": card.created_at,
        "parameters": f"{card.parameters:,}",
        "bytes": f"{card.bytes:,}",
        "sha256": card.sha256,
    }
    origin = {
        "dataset": data.name,
        "sha256": data.sha256,
        "target column": data.target_column,
        **{f"image {name}": value for name, value in (data.image or {}).items()},
    }
    run = {"step": training.step, "seed": training.seed, "held out": training.holdout_fraction}
    config = training.resolved
    parts_of_it = {k: v for k, v in config.items() if k != "hyperparameters"} | config.get(
        "hyperparameters", {}
    )
    title = html.escape(f"{card.name}:{card.version}")
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style><h1>{title}</h1>",
        f"<p>{html.escape(card.description)}</p>" if card.description else "",
        _table(facts),
        "<h2>Tags</h2>" + _table(card.tags) if card.tags else "",  # anybody's: by themselves
        "<h2>Learned from</h2>",
        _table(origin),
        _rows(["label", "items"], [tuple(label.values()) for label in data.labels]),
        _rows(["column", "type"], [(c["name"], c["type"]) for c in data.columns or []]),
        "<h2>Training</h2>",
        _table(run | training.code),
        _table(_flat(parts_of_it)),
        "<h2>Measured</h2>",
        _evaluation(card.evaluation),
        "<h2>Limits</h2><ul>",
        *(f"<li>{html.escape(limit)}</li>" for limit in card.limitations),
        "</ul></html>",
    ]
    return "".join(parts)


def _evaluation(found: CardEvaluation | None) -> str:
    if found is None:
        return "<p>It was not measured here.</p>"
    reasons = html.escape(
        "; ".join([*found.reasons, *(f"not accepted: {x}" for x in found.failed_criteria)])
    )
    said = f"<p><b>{found.verdict.capitalize()}</b>: {reasons}.</p>"
    scores = [
        (
            s.name,
            f"{s.value:.3f}",
            f"{s.ci95[0]:.3f} … {s.ci95[1]:.3f}",
            _figure(s.real_reference),
            _figure(s.naive_baseline),
        )
        for s in found.scores
    ]
    heads = ("score", "samples", "95 % interval", "real items", "naive samples")
    return said + _rows(heads, scores)


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """What lies within others, such as the budget, by the names of both."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name} ")
        else:
            found[before + name] = value
    return found


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(facts: Mapping[str, Any]) -> str:
    cells = [
        f"<tr><th>{html.escape(str(name))}<td><code>{html.escape(str(value))}</code>"
        for name, value in facts.items()
        if value is not None
    ]
    return f"<div><table>{''.join(cells)}</table></div>"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(name)}" for name in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape('not told' if value is None else str(value))}" for value in row
        )
        for row in rows
    )
    return f"<div><table><tr>{head}{body}</table></div>"
