"""Models side by side as one page that loads nothing."""

import html
from collections.abc import Sequence

from app.plots import number
from app.report_page import MEANS, figure, page, table
from app.schemas.comparison import Compared, Comparison

SHOWN = 6  # checkpoints of a model


def page_of(found: Comparison) -> str:
    names = [html.escape(model.reference) for model in found.models]
    parts = [f"<p>{html.escape(warning)}</p>" for warning in found.warnings]
    parts += [table(("", *names), _about(found.models))]
    if any(model.scores for model in found.models):
        best = (
            "; the best of each row in bold, with a star where its interval is clear of all others"
        )
        parts += [
            f"<h2>Scores</h2><p>With 95 % intervals{best if found.best else ''}.</p>",
            table(("score", *names), _scores(found)),
        ]
    parts += [_checkpoints(model) for model in found.models]
    return page(" and ".join(model.reference for model in found.models), parts)


def _about(models: Sequence[Compared]) -> list[list[str]]:
    verdicts = [
        f'<b class="{m.verdict.finding}">{m.verdict.finding}</b>' if m.verdict else m.state
        for m in models
    ]
    facts = list(dict.fromkeys(name for model in models for name in model.training))
    rows = [
        ["verdict", *verdicts],
        ["samples measured", *(number(model.samples) for model in models)],
    ]
    if len({model.dataset for model in models}) > 1:
        rows.append(["data set", *(f"<small>{m.dataset or ''}</small>" for m in models)])
    return rows + [[fact, *(_fact(model.training[fact]) for model in models)] for fact in facts]


def _fact(value: str | float | None) -> str:
    return html.escape(value) if isinstance(value, str) else number(value)


def _scores(found: Comparison) -> list[list[str]]:
    rows = []
    for name in dict.fromkeys(name for model in found.models for name in model.scores):
        best = found.best.get(name)
        cells = []
        for model in found.models:
            score = model.scores.get(name)
            said = ""
            if score is not None:
                said = f"{figure(score.value)}<small>{' … '.join(map(figure, score.ci95))}</small>"
            if best is not None and best.reference == model.reference:
                said = f"<b>{'★ ' if best.clear else ''}{said}</b>"
            cells.append(said)
        rows.append([f"{html.escape(name)}<small>{MEANS.get(name, '')}</small>", *cells])
    return rows


def _checkpoints(model: Compared) -> str:
    shown = [checkpoint for checkpoint in model.checkpoints if checkpoint.metrics][:SHOWN]
    names = sorted({name for checkpoint in shown for name in checkpoint.metrics})
    if not names:
        return ""
    rows = [
        (number(checkpoint.step), *(figure(checkpoint.metrics.get(name)) for name in names))
        for checkpoint in shown
    ]
    title = f"<h2>Checkpoints of {html.escape(model.reference)}</h2>"
    return title + table(("step", *map(html.escape, names)), rows)
