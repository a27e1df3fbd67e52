"""Models side by side as one page that loads nothing."""

import html
from collections.abc import Sequence

from app.report_page import SCORE_DESCRIPTIONS, format_score, html_document, html_table
from app.schemas.comparison import Comparison, ModelSummary
from app.svg_charts import format_number

MAX_CHECKPOINTS = 6  # checkpoints of a model


def render_page(comparison: Comparison) -> str:
    names = [html.escape(model.reference) for model in comparison.models]
    parts = [f"<p>{html.escape(warning)}</p>" for warning in comparison.warnings]
    parts += [html_table(("", *names), _about(comparison.models))]
    if any(model.scores for model in comparison.models):
        best = (
            "; the best of each row in bold, with a star where its interval is clear of all others"
        )
        parts += [
            f"<h2>Scores</h2><p>With 95 % intervals{best if comparison.best else ''}.</p>",
            html_table(("score", *names), _scores(comparison)),
        ]
    parts += [_checkpoints(model) for model in comparison.models]
    return html_document(" and ".join(model.reference for model in comparison.models), parts)


def _about(models: Sequence[ModelSummary]) -> list[list[str]]:
    verdicts = [
        f'<b class="{m.verdict.verdict}">{m.verdict.verdict}</b>' if m.verdict else m.state
        for m in models
    ]
    facts = list(dict.fromkeys(name for model in models for name in model.training))
    rows = [
        ["verdict", *verdicts],
        ["samples measured", *(format_number(model.samples) for model in models)],
    ]
    if len({model.dataset for model in models}) > 1:
        rows.append(["data set", *(f"<small>{m.dataset or ''}</small>" for m in models)])
    return rows + [[fact, *(_fact(model.training[fact]) for model in models)] for fact in facts]


def _fact(value: str | float | None) -> str:
    return html.escape(value) if isinstance(value, str) else format_number(value)


def _scores(found: Comparison) -> list[list[str]]:
    rows = []
    for name in dict.fromkeys(name for model in found.models for name in model.scores):
        best = found.best.get(name)
        cells = []
        for model in found.models:
            score = model.scores.get(name)
            said = ""
            if score is not None:
                said = f"{format_score(score.value)}<small>{' … '.join(map(format_score, score.ci95))}</small>"
            if best is not None and best.reference == model.reference:
                said = f"<b>{'★ ' if best.significant else ''}{said}</b>"
            cells.append(said)
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
    return title + html_table(("step", *map(html.escape, names)), rows)
