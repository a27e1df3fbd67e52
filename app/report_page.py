"""A model's report as one page that loads nothing."""

import base64
import html
from collections.abc import Mapping, Sequence

from app import plots
from app.model_report import Series
from app.plots import number
from app.report_table import FIGURES, in_days
from app.schemas.reports import Pairs, Report, ScoreView, Statistics

MEANS = {
    "frechet": "distance of the features of samples from those of unseen real images (Fréchet)",
    "kernel": "the same by a kernel, which few images do not bend",
    "precision": "share of the samples that lie among real images",
    "recall": "share of the real images that lie among samples",
    "density": "how many real images have a sample in their neighbourhood, beside what is due",
    "coverage": "share of the real images with a sample nearer than their fifth neighbour",
    "told_apart": "area under the ROC curve of a fresh critic: .5 if it cannot tell, 1 if always",
    "critic_accuracy": "share of the unseen real items and of the samples that the same critic "
    "names right",
    "label_fidelity": "share of the samples that show the label that was asked for",
    "utility": "of a classifier that has learned from samples alone, on unseen real items: of "
    "images the share told right; of rows the area under the ROC curve of two labels, macro F1 "
    "of more, R² of a number",
    "near_copies": "share of the samples nearer to a training image than 99 % of unseen ones are",
    "replayed": "of these, those much nearer to one training image than to any other",
    "marginals": "total variation distance of single columns, on average",
    "pairs": "total variation distance of pairs of columns, on average",
    "dcr_share": "share of the samples nearer to a training row than to any unseen one",
    "exact_copies": "share of the samples that are a training row",
    "membership": "of a training item and an unseen one, how often an attacker, who looks how near "
    "samples come to them, names the right one",
    "exposed": "share of the training items that he is surer of than of 99 % of unseen ones",
    "different": "share of the samples that are no other sample's twin",
}
TITLES = {
    "samples.png": "Samples, a row for each label",
    "real.png": "Unseen real images, a row for each label",
    "nearest.png": "Samples, each with the nearest training image to its right",
}
LOSSES = "Losses"
CHARTS = {
    LOSSES: ("critic_loss", "generator_loss", "held_out_loss"),
    "Critic's accuracy on held-out items": ("critic_accuracy_real", "critic_accuracy_fake"),
    "Coverage of held-out items": ("coverage",),
}
PRIVACY = ("near_copies", "replayed", "dcr_share", "exact_copies", "membership", "exposed")
BARS = 12  # values of a category that are shown

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:1.5rem auto;padding:0 1rem;"
    "color:#222;background:#fff}h1{font-size:1.6rem}h2{margin-top:2.2rem;font-size:1.25rem}"
    "table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}"
    "td,th{border-bottom:1px solid #ddd;padding:.25rem .5rem;text-align:right;white-space:nowrap}"
    "td:first-child,th:first-child{text-align:left}td:first-child{white-space:normal;"
    "overflow-wrap:anywhere;min-width:6rem}td small{display:block;white-space:normal}"
    "td:first-child small{min-width:10rem}small{color:#666}.wide{overflow-x:auto;"
    "margin-bottom:1rem}h1,h3,figcaption,li,p{overflow-wrap:anywhere}"
    ".sheet{display:flex;gap:.5rem}.names{display:flex;flex-direction:column;max-width:25%;"
    "font-size:.8rem;text-align:right}.names span{flex:1;min-height:0;align-content:center;"
    "overflow:hidden;white-space:nowrap;text-overflow:ellipsis}"
    "@media(max-width:34rem){td,th{padding:.2rem .3rem}td small{font-size:.75rem}}"
    "img{image-rendering:pixelated;width:100%;max-width:36rem;min-width:0;align-self:start}"
    ".good{color:#176b2c}.poor,.collapsed,.memorised{color:#a11}" + plots.STYLE
)


def page(title: str, parts: Sequence[str]) -> str:
    """A whole document; `title` is plain text, the parts are HTML."""
    title = html.escape(title)
    head = '<!doctype html><html lang="en"><meta charset="utf-8">'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
    return "".join([head, *parts, "</html>"])


def page_of(report: Report, course: Series, pictures: Mapping[str, bytes]) -> str:
    parts = [_verdict(report)]
    if report.scores:
        parts += ["<h2>Scores</h2>", _scores([s for s in report.scores if s.name not in PRIVACY])]
        parts += [_privacy(report), _by_class(report)]
    rows = report.picture_rows
    parts += [_picture(TITLES[name], png, rows.get(name, [])) for name, png in pictures.items()]
    parts += [_pairs(report.pairs) if report.pairs else "", _scatter(report)]
    charts = [
        plots.lines(
            title,
            {name: course[name] for name in names if name in course},
            ends=None if title == LOSSES else (0.0, 1.0),
        )
        for title, names in CHARTS.items()
    ]
    if any(charts):
        parts += ["<h2>Training</h2>", _plots(charts)]
    if report.statistics:
        parts += ["<h2>Columns, real beside synthetic</h2>", _outlines(report), _statistics(report)]
    return page(f"Report on {report.reference}", parts)


def _plots(drawn: Sequence[str]) -> str:
    return f'<div class="plots">{"".join(drawn)}</div>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML; a table that is too wide moves inside its own frame."""
    head = "".join(f"<th>{name}" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}' for cell in row)}" for row in rows)
    return f'<div class="wide" tabindex="0"><table><tr>{head}{body}</table></div>'


def _verdict(report: Report) -> str:
    state = report.state
    notes = []
    if state == "unmeasured":
        why = f": {html.escape(report.obstacle)}" if report.obstacle else ""
        notes.append(f"<p>This model has not been measured{why}.</p>")
    elif state != "measured":
        detail = html.escape(str((report.error or {}).get("detail", "")))
        notes.append(f"<p>The newest evaluation: {state}. {detail}</p>")
    said = report.verdict
    if said is None:
        return "".join(notes)
    reasons = [*said.reasons, *(f"not accepted: {what}" for what in report.unmet)]
    listed = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    about = f"{report.samples:,} samples beside {report.held_out:,} real items that training has "
    return (
        f'{"".join(notes)}<h2 class="{said.finding}">{said.finding.capitalize()}</h2>'
        f"<ul>{listed}</ul><p>{about}not seen. <small>Seed {report.seed}.</small></p>"
    )


def _scores(scores: Sequence[ScoreView]) -> str:
    better = {"higher": "higher is better", "lower": "lower is better", "half": ".5 is best"}
    rows = [
        (
            f"{html.escape(s.name)}<small>{MEANS.get(s.name, '')}; {better[s.direction]}</small>",
            figure(s.value),
            f"{figure(s.ci95[0])} … {figure(s.ci95[1])}",
            figure(s.ceiling),
            figure(s.baseline),
        )
        for s in scores
    ]
    return table(("score", "samples", "95 % interval", "real items", "naive samples"), rows)


def figure(value: float | None) -> str:
    """Of a score: digits in line with those above."""
    return "" if value is None else f"{value:,.3f}"


def _privacy(report: Report) -> str:
    found = [score for score in report.scores if score.name in PRIVACY]
    if not found:
        return ""
    said = (
        "<p>What samples give away of the items that were learned from. Nothing here is a "
        "guarantee: an attacker may know more than these measures look for.</p>"
    )
    nearest = ""
    if report.nearest is not None:
        title = "Distance to the nearest training item, of unseen real items and of samples"
        nearest = _plots([plots.histogram(title, report.nearest.model_dump())])
    return f"<h2>Privacy</h2>{said}{_scores(found)}{nearest}"


def _by_class(report: Report) -> str:
    """By label; the distances of pairs of columns, which may be many, are left to JSON."""
    shown = [s for s in report.scores if s.per_class and s.name != "pairs"]
    labels = list(dict.fromkeys(label for score in shown for label in score.per_class))
    if not shown:
        return ""
    rows = [
        (html.escape(label), *(figure(score.per_class.get(label)) for score in shown))
        for label in labels
    ]
    return "<h2>One by one</h2>" + table(("", *(html.escape(s.name) for s in shown)), rows)


def _picture(title: str, png: bytes, rows: Sequence[str]) -> str:
    """`rows`: the names of its rows, which are of one height."""
    data = base64.b64encode(png).decode()
    names = "".join(
        f'<span title="{html.escape(name)}">{html.escape(name)}</span>' for name in rows
    )
    names = f'<div class="names">{names}</div>' if rows else ""
    image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
    return f'<h2>{title}</h2><div class="sheet">{names}{image}</div>'


def _pairs(pairs: Pairs) -> str:
    """Both matrices, and where they differ most."""
    names = pairs.columns
    apart = sorted(
        (
            (abs(pairs.real[i][j] - pairs.synthetic[i][j]), i, j)
            for i in range(len(names))
            for j in range(i)
        ),
        reverse=True,
    )
    rows = [
        (
            html.escape(f"{names[j]} and {names[i]}"),
            figure(pairs.real[i][j]),
            figure(pairs.synthetic[i][j]),
        )
        for _, i, j in apart[:5]
    ]
    drawn = [
        plots.matrix(title, names, values)
        for title, values in (("Real", pairs.real), ("Synthetic", pairs.synthetic))
    ]
    return (
        "<h2>Pairs of columns</h2><p>How far one column says the other, from white, not at all, to "
        "blue, wholly (Cramér's V). They differ most here:</p>"
        f"{table(('pair', 'real', 'synthetic'), rows)}{_plots(drawn)}"
    )


def _scatter(report: Report) -> str:
    found = report.scatter
    if found is None:
        return ""
    note = f"they hold {found.explained:.0%} of the variance"
    title = "Items on the two main directions of the real ones"
    return "<h2>Where items lie</h2>" + _plots(
        [plots.scatter(title, found.real, found.synthetic, note)]
    )


def _outlines(report: Report) -> str:
    drawn = []
    for row in report.statistics:
        if row.label is None and "shares" in row.real:
            shares = row.real["shares"], row.synthetic.get("shares", {})
            drawn.append(plots.bars(row.column, *shares, most=BARS))
        elif row.label is None and row.histogram is not None:
            is_time = row.type == "datetime"
            bars = row.histogram.model_dump()
            drawn.append(plots.histogram(row.column, bars, is_time=is_time))
    return _plots(drawn)


def _statistics(report: Report) -> str:
    """All columns, then for each label those that are numbers."""
    rows = [row for row in report.statistics if "shares" not in row.real]
    found = []
    for label in dict.fromkeys(row.label for row in rows):
        mine = [line for row in rows if row.label == label for line in _sides(row)]
        title = "All items" if label is None else f"Label {html.escape(label)}"
        found.append(f"<h3>{title}</h3>{table(('column', 'side', *FIGURES), mine)}")
    return "".join(found)


def _sides(row: Statistics) -> list[list[str]]:
    lines = []
    for side, about in (("real", row.real), ("synthetic", row.synthetic)):
        shown = in_days(about) if row.type == "datetime" else about
        cells = [shown.get(name) for name in FIGURES]
        said = [cell if isinstance(cell, str) else number(cell) for cell in cells]
        lines.append([html.escape(row.column) if side == "real" else "", side, *said])
    return lines
