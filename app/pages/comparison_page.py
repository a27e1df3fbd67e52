"""HTML page that compares models."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.pages import page_templates
from app.schemas.comparison import CheckpointMetrics, Comparison, ModelSummary
from app.value_format import format_number
from job_kinds.evaluation.plan import all_score_types

MAX_CHECKPOINTS = 6  # per model


@dataclass(frozen=True)
class CheckpointTable:
    reference: str
    metric_names: list[str]
    checkpoints: Sequence[CheckpointMetrics]


def render_page(comparison: Comparison) -> str:
    models = comparison.models
    references = [model.reference for model in models]
    score_types = all_score_types()
    return page_templates.render(
        "comparison.html",
        title=" and ".join(references),
        comparison=comparison,
        references=references,
        training_rows=_training_rows(models),
        score_names=list(dict.fromkeys(name for model in models for name in model.scores)),
        score_descriptions={name: type.description for name, type in score_types.items()},
        checkpoint_tables=[table for table in map(_checkpoint_table, models) if table],
    )


def _training_rows(models: Sequence[ModelSummary]) -> list[list[str]]:
    names = dict.fromkeys(name for model in models for name, _ in model.training)
    return [
        [name, *(_format_value(name, getattr(model.training, name)) for model in models)]
        for name in names
    ]


def _format_value(name: str, value: str | float | None) -> str:
    # A seed is copied into a request, so it keeps its digits.
    return str(value) if isinstance(value, str) or name == "seed" else format_number(value)


def _checkpoint_table(model: ModelSummary) -> CheckpointTable | None:
    shown = [checkpoint for checkpoint in model.checkpoints if checkpoint.metrics][:MAX_CHECKPOINTS]
    names = sorted({name for checkpoint in shown for name in checkpoint.metrics})
    return CheckpointTable(model.reference, names, shown) if names else None
