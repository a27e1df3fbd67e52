"""HTML page of a model card."""

from collections.abc import Mapping
from typing import Any

from app.model_card import CardEvaluation, ModelCard
from app.pages import page_templates


def render_page(card: ModelCard) -> str:
    data, training = card.data, card.training
    config = training.resolved
    settings = {k: v for k, v in config.items() if k != "hyperparameters"} | config.get(
        "hyperparameters", {}
    )
    return page_templates.render(
        "card.html",
        title=f"Model card of {card.name}:{card.version}",
        card=card,
        model_fields={
            "modality": card.modality,
            "created": card.created_at,
            "parameters": f"{card.parameters:,}",
            "bytes": f"{card.bytes:,}",
            "sha256": card.sha256,
        },
        data_fields={
            "dataset": data.name,
            "sha256": data.sha256,
            "target column": data.target_column,
            **{f"image {name}": value for name, value in (data.image or {}).items()},
        },
        training_fields={
            "step": training.step,
            "seed": training.seed,
            "holdout fraction": training.holdout_fraction,
            **training.code,
        },
        settings=_flatten(settings),
        verdict_reasons=_verdict_reasons(card.evaluation) if card.evaluation else "",
    )


def _verdict_reasons(evaluation: CardEvaluation) -> str:
    failed = [f"quality gate failed: {criterion}" for criterion in evaluation.failed_criteria]
    return "; ".join([*evaluation.reasons, *failed]).removesuffix(".")


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings, such as the budget, under names like `budget steps`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name} ")
        else:
            flat[prefix + name] = value
    return flat
