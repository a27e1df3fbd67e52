"""HTML page that compares models, without external resources."""

import html
from collections.abc import Sequence

from app.report_page import SCORE_DESCRIPTIONS, format_score, html_document, html_table
from app.schemas.comparison import Comparison, ModelSummary
from app.svg_charts import format_number

MAX_CHECKPOINTS = 6  # per model


def render_page(comparison: Comparison) -> str:
    names = [html.escape(model.reference) for model in comparison.models]
    parts = [f"<p>{html.escape(warning.message)}</p>" for warning in comparison.warnings]
    parts += [html_table(("", *names), _overview_rows(comparison.models))]
    if any(model.scores for model in comparison.models):
        legend = "Each score is shown with its 95 % interval."
        if comparison.best:
            legend += (
                " The best model of each row is bold. A star marks a best model whose interval "
                "does not overlap the interval of any other model."
            )
        parts += [
            f"<h2>Scores</h2><p>{legend}</p>",
            html_table(("Score", *names), _score_rows(comparison)),
        ]
    parts += [_checkpoints(model) for model in comparison.models]
    return html_document(" and ".join(model.reference for model in comparison.models), parts)


def _overview_rows(models: Sequence[ModelSummary]) -> list[list[str]]:
    verdicts = [
        f'<b class="{m.verdict.verdict}">{m.verdict.verdict}</b>' if m.verdict else m.state
        for m in models
    ]
    training_fields = list(dict.fromkeys(name for model in models for name in model.training))
    rows = [
        ["Verdict", *verdicts],
        ["Samples evaluated", *(format_number(model.samples) for model in models)],
    ]
    if len({model.dataset for model in models}) > 1:
        rows.append(["Dataset", *(f"<small>{m.dataset or ''}</small>" for m in models)])
    return rows + [
        [name, *(_format_value(model.training[name]) for model in models)]
        for name in training_fields
    ]


def _format_value(value: str | float | None) -> str:
    return html.escape(value) if isinstance(value, str) else format_number(value)


def _score_rows(comparison: Comparison) -> list[list[str]]:
    rows = []
    for name in dict.fromkeys(name for model in comparison.models for name in model.scores):
        best = comparison.best.get(name)
        cells = []
        for model in comparison.models:
            score = model.scores.get(name)
            cell = ""
            if score is not None:
                interval = " … ".join(map(format_score, score.ci95))
                cell = f"{format_score(score.value)}<small>{interval}</small>"
            if best is not None and best.reference == model.reference:
                cell = f"<b>{'★ ' if best.significant else ''}{cell}</b>"
            cells.append(cell)
        rows.append(
            [f"{html.escape(name)}<small>{SCORE_DESCRIPTIONS.get(name, '')}</small>", *cells]
        )
    return rows


def _checkpoints(model: ModelSummary) -> str:
    shown = [checkpoint for checkpoint in model.checkpoints if checkpoint.metrics][:MAX_CHECKPOINTS]
    names = sorted({name for checkpoint in shown for name in checkpoint.metrics})
    if not names:
        return ""
    rows = [
        (
            format_number(checkpoint.step),
            *(format_score(checkpoint.metrics.get(name)) for name in names),
        )
        for checkpoint in shown
    ]
    title = f"<h2>Checkpoints of {html.escape(model.reference)}</h2>"
    return title + html_table(("Step", *map(html.escape, names)), rows)
