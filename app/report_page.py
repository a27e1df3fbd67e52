"""A model's report as one page that loads nothing."""

import base64
import html
from collections.abc import Mapping, Sequence

from app import svg_charts
from app.model_report import MetricSeries
from app.report_csv import STATISTIC_NAMES, format_datetime_statistics
from app.schemas.reports import ColumnAssociations, ColumnStatistics, Report, ScoreView
from app.svg_charts import format_number

SCORE_DESCRIPTIONS = {
    "frechet_distance": "distance of the features of samples from those of unseen real images (Fréchet)",
    "kernel_distance": "the same by a kernel, which few images do not bend",
    "precision": "share of the samples that lie among real images",
    "recall": "share of the real images that lie among samples",
    "density": "how many real images have a sample in their neighbourhood, beside what is due",
    "coverage": "share of the real images with a sample nearer than their fifth neighbour",
    "detection_auc": "area under the ROC curve of a fresh critic: .5 if it cannot tell, 1 if always",
    "detection_accuracy": "share of the unseen real items and of the samples that the same critic "
    "names right",
    "label_accuracy": "share of the samples that show the label that was asked for",
    "tstr_score": "of a classifier that has learned from samples alone, on unseen real items: of "
    "images the share told right; of rows the area under the ROC curve of two labels, macro F1 "
    "of more, R² of a number",
    "near_duplicate_rate": "share of the samples nearer to a training image than 99 % of unseen ones are",
    "memorization_rate": "of these, those much nearer to one training image than to any other",
    "marginal_tvd": "total variation distance of single columns, on average",
    "pairwise_tvd": "total variation distance of pairs of columns, on average",
    "dcr_share": "share of the samples nearer to a training row than to any unseen one",
    "exact_match_rate": "share of the samples that are a training row",
    "membership_inference_auc": "of a training item and an unseen one, how often an attacker, who looks how near "
    "samples come to them, names the right one",
    "membership_inference_tpr_at_1pct_fpr": "share of the training items that he is surer of than of 99 % of unseen ones",
    "unique_rate": "share of the samples that are no other sample's twin",
}
IMAGE_TITLES = {
    "samples.png": "Samples, a row for each label",
    "real.png": "Unseen real images, a row for each label",
    "nearest.png": "Samples, each with the nearest training image to its right",
}
LOSS_CHART = "Losses"
TRAINING_CHARTS = {
    LOSS_CHART: ("critic_loss", "generator_loss", "holdout_loss"),
    "Critic's accuracy on held-out items": ("critic_accuracy_real", "critic_accuracy_fake"),
    "Coverage of held-out items": ("coverage",),
}
PRIVACY_SCORES = (
    "near_duplicate_rate",
    "memorization_rate",
    "dcr_share",
    "exact_match_rate",
    "membership_inference_auc",
    "membership_inference_tpr_at_1pct_fpr",
)
MAX_BARS = 12  # values of a category that are shown

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
    ".good{color:#176b2c}.poor,.collapsed,.memorized{color:#a11}" + svg_charts.STYLE
)


def html_document(title: str, parts: Sequence[str]) -> str:
    """A whole document; `title` is plain text, the parts are HTML."""
    title = html.escape(title)
    head = '<!doctype html><html lang="en"><meta charset="utf-8">'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
    return "".join([head, *parts, "</html>"])


def render_page(report: Report, training_metrics: MetricSeries, images: Mapping[str, bytes]) -> str:
    parts = [_verdict(report)]
    if report.scores:
        parts += [
            "<h2>Scores</h2>",
            _scores([s for s in report.scores if s.name not in PRIVACY_SCORES]),
        ]
        parts += [_privacy(report), _per_label(report)]
    rows = report.gallery_labels
    parts += [_picture(IMAGE_TITLES[name], png, rows.get(name, [])) for name, png in images.items()]
    parts += [
        _pairs(report.column_associations) if report.column_associations else "",
        _scatter(report),
    ]
    charts = [
        svg_charts.line_chart(
            title,
            {name: training_metrics[name] for name in names if name in training_metrics},
            y_range=None if title == LOSS_CHART else (0.0, 1.0),
        )
        for title, names in TRAINING_CHARTS.items()
    ]
    if any(charts):
        parts += ["<h2>Training</h2>", _plots(charts)]
    if report.statistics:
        parts += ["<h2>Columns, real beside synthetic</h2>", _outlines(report), _statistics(report)]
    return html_document(f"Report on {report.reference}", parts)


def _plots(drawn: Sequence[str]) -> str:
    return f'<div class="plots">{"".join(drawn)}</div>'


def html_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML; a table that is too wide moves inside its own frame."""
    head = "".join(f"<th>{name}" for name in headers)
    body = "".join(f"<tr>{''.join(f'<td>{cell}' for cell in row)}" for row in rows)
    return f'<div class="wide" tabindex="0"><table><tr>{head}{body}</table></div>'


def _verdict(report: Report) -> str:
    state = report.state
    notes = []
    if state == "not_evaluated":
        why = f": {html.escape(report.not_evaluable_reason)}" if report.not_evaluable_reason else ""
        notes.append(f"<p>This model has not been measured{why}.</p>")
    elif state != "evaluated":
        detail = html.escape(str((report.error or {}).get("detail", "")))
        notes.append(f"<p>The newest evaluation: {state}. {detail}</p>")
    said = report.verdict
    if said is None:
        return "".join(notes)
    reasons = [*said.reasons, *(f"not accepted: {what}" for what in report.failed_criteria)]
    listed = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    about = (
        f"{report.samples:,} samples beside {report.holdout_items:,} real items that training has "
    )
    return (
        f'{"".join(notes)}<h2 class="{said.verdict}">{said.verdict.capitalize()}</h2>'
        f"<ul>{listed}</ul><p>{about}not seen. <small>Seed {report.seed}.</small></p>"
    )


def _scores(scores: Sequence[ScoreView]) -> str:
    better = {"higher": "higher is better", "lower": "lower is better", "target": ".5 is best"}
    rows = [
        (
            f"{html.escape(s.name)}<small>{SCORE_DESCRIPTIONS.get(s.name, '')}; {better[s.direction]}</small>",
            format_score(s.value),
            f"{format_score(s.ci95[0])} … {format_score(s.ci95[1])}",
            format_score(s.real_reference),
            format_score(s.naive_baseline),
        )
        for s in scores
    ]
    return html_table(("score", "samples", "95 % interval", "real items", "naive samples"), rows)


def format_score(value: float | None) -> str:
    """Of a score: digits in line with those above."""
    return "" if value is None else f"{value:,.3f}"


def _privacy(report: Report) -> str:
    found = [score for score in report.scores if score.name in PRIVACY_SCORES]
    if not found:
        return ""
    said = (
        "<p>What samples give away of the items that were learned from. Nothing here is a "
        "guarantee: an attacker may know more than these measures look for.</p>"
    )
    nearest = ""
    if report.nearest_train_distance is not None:
        title = "Distance to the nearest training item, of unseen real items and of samples"
        nearest = _plots([svg_charts.histogram(title, report.nearest_train_distance.model_dump())])
    return f"<h2>Privacy</h2>{said}{_scores(found)}{nearest}"


def _per_label(report: Report) -> str:
    """By label; the distances of pairs of columns, which may be many, are left to JSON."""
    shown = [s for s in report.scores if s.per_label and s.name != "pairwise_tvd"]
    labels = list(dict.fromkeys(label for score in shown for label in score.per_label))
    if not shown:
        return ""
    rows = [
        (html.escape(label), *(format_score(score.per_label.get(label)) for score in shown))
        for label in labels
    ]
    return "<h2>One by one</h2>" + html_table(("", *(html.escape(s.name) for s in shown)), rows)


def _picture(title: str, png: bytes, rows: Sequence[str]) -> str:
    """`rows`: the names of its rows, which are of one height."""
    data = base64.b64encode(png).decode()
    names = "".join(
        f'<span title="{html.escape(name)}">{html.escape(name)}</span>' for name in rows
    )
    names = f'<div class="names">{names}</div>' if rows else ""
    image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
    return f'<h2>{title}</h2><div class="sheet">{names}{image}</div>'


def _pairs(pairs: ColumnAssociations) -> str:
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
            format_score(pairs.real[i][j]),
            format_score(pairs.synthetic[i][j]),
        )
        for _, i, j in apart[:5]
    ]
    drawn = [
        svg_charts.heatmap(title, names, values)
        for title, values in (("Real", pairs.real), ("Synthetic", pairs.synthetic))
    ]
    return (
        "<h2>Pairs of columns</h2><p>How far one column says the other, from white, not at all, to "
        "blue, wholly (Cramér's V). They differ most here:</p>"
        f"{html_table(('pair', 'real', 'synthetic'), rows)}{_plots(drawn)}"
    )


def _scatter(report: Report) -> str:
    found = report.scatter
    if found is None:
        return ""
    note = f"they hold {found.explained_variance_ratio:.0%} of the variance"
    title = "Items on the two main directions of the real ones"
    return "<h2>Where items lie</h2>" + _plots(
        [svg_charts.scatter_plot(title, found.real, found.synthetic, note)]
    )


def _outlines(report: Report) -> str:
    drawn = []
    for row in report.statistics:
        if row.label is None and "shares" in row.real:
            shares = row.real["shares"], row.synthetic.get("shares", {})
            drawn.append(svg_charts.bar_chart(row.column, *shares, max_bars=MAX_BARS))
        elif row.label is None and row.histogram is not None:
            is_time = row.type == "datetime"
            bars = row.histogram.model_dump()
            drawn.append(svg_charts.histogram(row.column, bars, is_datetime=is_time))
    return _plots(drawn)


def _statistics(report: Report) -> str:
    """All columns, then for each label those that are numbers."""
    rows = [row for row in report.statistics if "shares" not in row.real]
    found = []
    for label in dict.fromkeys(row.label for row in rows):
        mine = [line for row in rows if row.label == label for line in _sides(row)]
        title = "All items" if label is None else f"Label {html.escape(label)}"
        found.append(f"<h3>{title}</h3>{html_table(('column', 'side', *STATISTIC_NAMES), mine)}")
    return "".join(found)


def _sides(row: ColumnStatistics) -> list[list[str]]:
    lines = []
    for side, about in (("real", row.real), ("synthetic", row.synthetic)):
        shown = format_datetime_statistics(about) if row.type == "datetime" else about
        cells = [shown.get(name) for name in STATISTIC_NAMES]
        said = [cell if isinstance(cell, str) else format_number(cell) for cell in cells]
        lines.append([html.escape(row.column) if side == "real" else "", side, *said])
    return lines
