"""HTML page of a model's report, without external resources."""

import base64
import html
from collections.abc import Mapping, Sequence

from app import svg_charts
from app.model_report import MetricSeries
from app.report_csv import STATISTIC_NAMES, format_datetime_statistics
from app.schemas.reports import ColumnAssociations, ColumnStatistics, Report, ScoreView
from app.svg_charts import format_number

# One sentence per score, shown on the report page and the comparison page.
SCORE_DESCRIPTIONS = {
    "frechet_distance": "Fréchet distance between features of the samples and of unseen real "
    "images (Heusel et al. 2017).",
    "kernel_distance": "Kernel distance (squared maximum mean discrepancy) between the same "
    "features, which is unbiased for few images (Bińkowski et al. 2018).",
    "precision": "Share of the samples that look like real images: each is inside the neighborhood "
    "of a real image (Kynkäänniemi et al. 2019).",
    "recall": "Share of the real images that the samples reach: each is inside the neighborhood of "
    "a sample (Kynkäänniemi et al. 2019).",
    "density": "Average number of real neighborhoods that contain a sample, relative to the "
    "expected number; about 1 for real images (Naeem et al. 2020).",
    "coverage": "Share of the real images that have a sample in their neighborhood, which reaches "
    "to the fifth nearest real image (Naeem et al. 2020).",
    "detection_auc": "Area under the ROC curve of a new classifier (discriminator) that separates "
    "samples from unseen real items: .5 means it cannot, 1 means it always can.",
    "detection_accuracy": "Share of samples and unseen real items that the same classifier assigns "
    "correctly.",
    "label_accuracy": "Share of the samples that a classifier trained on real images assigns to "
    "the requested label.",
    "tstr_score": "Score on unseen real items of a predictor trained only on samples (train on "
    "synthetic, test on real): accuracy for images; for tables area under the ROC curve with two "
    "labels, macro F1 with more, R² for a number.",
    "near_duplicate_rate": "Share of the samples that are closer to a training image than 99 % of "
    "unseen real images are.",
    "memorization_rate": "Share of the samples that are near duplicates of one training image and "
    "much closer to it than to any other.",
    "marginal_tvd": "Average total variation distance of the distributions of single columns "
    "between samples and unseen real rows.",
    "pairwise_tvd": "Average total variation distance of the joint distributions of column pairs "
    "between samples and unseen real rows.",
    "dcr_share": "Share of the samples that are closer to a training row than to any of as many "
    "unseen real rows (distance to the closest record).",
    "exact_match_rate": "Share of the samples that are identical to a training row.",
    "membership_inference_auc": "Area under the ROC curve of an attack that uses the distance to "
    "the nearest sample to separate training items from unseen ones: .5 means it cannot.",
    "membership_inference_tpr_at_1pct_fpr": "Share of the training items that the same attack "
    "identifies (true-positive rate) while it wrongly suspects 1 % of the unseen items.",
    "unique_rate": "Number of distinct rows among the samples, divided by the number of samples.",
}
IMAGE_TITLES = {
    "samples.png": "Samples, one row per label",
    "real.png": "Unseen real images, one row per label",
    "nearest.png": "Samples, each with the nearest training image to its right",
}
LOSS_CHART = "Losses"
TRAINING_CHARTS = {
    LOSS_CHART: ("critic_loss", "generator_loss", "holdout_loss"),
    "Accuracy of the critic (discriminator) on holdout items": (
        "critic_accuracy_real",
        "critic_accuracy_fake",
    ),
    "Coverage of holdout items": ("coverage",),
}
PRIVACY_SCORES = (
    "near_duplicate_rate",
    "memorization_rate",
    "dcr_share",
    "exact_match_rate",
    "membership_inference_auc",
    "membership_inference_tpr_at_1pct_fpr",
)
MAX_BARS = 12  # further values of a category are not drawn

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
    """Return a complete document; `title` is plain text, the parts are HTML."""
    title = html.escape(title)
    head = '<!doctype html><html lang="en"><meta charset="utf-8">'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
    return "".join([head, *parts, "</html>"])


def render_page(report: Report, training_metrics: MetricSeries, images: Mapping[str, bytes]) -> str:
    parts = [_verdict(report)]
    if report.scores:
        parts += [
            "<h2>Scores</h2><p>The column “Real items” has the score that real items get in place "
            "of the samples. The column “Naive baseline” has the score of samples from simple "
            "statistics without a neural network.</p>",
            _scores([s for s in report.scores if s.name not in PRIVACY_SCORES]),
        ]
        parts += [_privacy(report), _per_label(report)]
    labels = report.gallery_labels
    parts += [
        _gallery(IMAGE_TITLES[name], png, labels.get(name, [])) for name, png in images.items()
    ]
    parts += [
        _associations(report.column_associations) if report.column_associations else "",
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
        parts += ["<h2>Training</h2>", _chart_grid(charts)]
    if report.statistics:
        parts += [
            "<h2>Distributions of real and synthetic data</h2>",
            _distributions(report),
            _statistics(report),
        ]
    return html_document(f"Report on {report.reference}", parts)


def _chart_grid(charts: Sequence[str]) -> str:
    return f'<div class="plots">{"".join(charts)}</div>'


def html_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that scrolls horizontally if it is too wide. Headers and cells are HTML."""
    head = "".join(f"<th>{name}" for name in headers)
    body = "".join(f"<tr>{''.join(f'<td>{cell}' for cell in row)}" for row in rows)
    return f'<div class="wide" tabindex="0"><table><tr>{head}{body}</table></div>'


def _verdict(report: Report) -> str:
    state = report.state
    notes = []
    if state == "not_evaluated":
        reason = (report.not_evaluable_reason or "").removesuffix(".")
        suffix = f": {html.escape(reason)}" if reason else ""
        notes.append(f"<p>This model has not been evaluated{suffix}.</p>")
    elif state != "evaluated":
        detail = html.escape(str((report.error or {}).get("detail", "")))
        notes.append(f"<p>State of the newest evaluation: {state}. {detail}</p>")
    verdict = report.verdict
    if verdict is None:
        return "".join(notes)
    failed = [f"quality gate failed: {criterion}" for criterion in report.failed_criteria]
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in [*verdict.reasons, *failed])
    basis = (
        f"{report.samples:,} samples were compared with {report.holdout_items:,} real items that "
        "training has not seen."
    )
    return (
        f'{"".join(notes)}<h2 class="{verdict.verdict}">{verdict.verdict.capitalize()}</h2>'
        f"<ul>{reasons}</ul><p>{basis} <small>Seed {report.seed}.</small></p>"
    )


def _scores(scores: Sequence[ScoreView]) -> str:
    best_values = {
        "higher": "Higher is better.",
        "lower": "Lower is better.",
        "target": ".5 is best.",
    }
    rows = [
        (
            f"{html.escape(s.name)}<small>{SCORE_DESCRIPTIONS.get(s.name, '')} "
            f"{best_values[s.direction]}</small>",
            format_score(s.value),
            f"{format_score(s.ci95[0])} … {format_score(s.ci95[1])}",
            format_score(s.real_reference),
            format_score(s.naive_baseline),
        )
        for s in scores
    ]
    return html_table(("Score", "Samples", "95 % interval", "Real items", "Naive baseline"), rows)


def format_score(value: float | None) -> str:
    # A fixed number of decimals aligns the values of a column.
    return "" if value is None else f"{value:,.3f}"


def _privacy(report: Report) -> str:
    scores = [score for score in report.scores if score.name in PRIVACY_SCORES]
    if not scores:
        return ""
    intro = (
        "<p>These scores estimate how much the samples reveal about the training items. They are "
        "not a guarantee: an attacker may have information that these scores do not consider.</p>"
    )
    chart = ""
    if report.nearest_train_distance is not None:
        title = "Distance from samples and from unseen real items to the nearest training item"
        chart = _chart_grid(
            [svg_charts.histogram(title, report.nearest_train_distance.model_dump())]
        )
    return f"<h2>Privacy</h2>{intro}{_scores(scores)}{chart}"


def _per_label(report: Report) -> str:
    # `pairwise_tvd` may have hundreds of column pairs, so only the JSON report lists them.
    shown = [s for s in report.scores if s.per_label and s.name != "pairwise_tvd"]
    labels = list(dict.fromkeys(label for score in shown for label in score.per_label))
    if not shown:
        return ""
    rows = [
        (html.escape(label), *(format_score(score.per_label.get(label)) for score in shown))
        for label in labels
    ]
    return "<h2>Scores per label or column</h2>" + html_table(
        ("", *(html.escape(s.name) for s in shown)), rows
    )


def _gallery(title: str, png: bytes, row_labels: Sequence[str]) -> str:
    """Return an image with the labels of its rows, which have the same height."""
    data = base64.b64encode(png).decode()
    names = "".join(
        f'<span title="{html.escape(name)}">{html.escape(name)}</span>' for name in row_labels
    )
    names = f'<div class="names">{names}</div>' if row_labels else ""
    image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
    return f'<h2>{title}</h2><div class="sheet">{names}{image}</div>'


def _associations(associations: ColumnAssociations) -> str:
    """Return the heatmaps of real and synthetic associations and the pairs that differ most."""
    names, real, synthetic = associations.columns, associations.real, associations.synthetic
    differences = sorted(
        ((abs(real[i][j] - synthetic[i][j]), i, j) for i in range(len(names)) for j in range(i)),
        reverse=True,
    )
    rows = [
        (
            html.escape(f"{names[j]} and {names[i]}"),
            format_score(real[i][j]),
            format_score(synthetic[i][j]),
        )
        for _, i, j in differences[:5]
    ]
    heatmaps = [
        svg_charts.heatmap("Real", names, real),
        svg_charts.heatmap("Synthetic", names, synthetic),
    ]
    return (
        "<h2>Associations between columns</h2><p>Association of two columns (Cramér's V): white is "
        "0, the columns are independent; blue is 1, one column determines the other. The table "
        "lists the pairs whose association differs most between real and synthetic data.</p>"
        f"{html_table(('Pair', 'Real', 'Synthetic'), rows)}{_chart_grid(heatmaps)}"
    )


def _scatter(report: Report) -> str:
    scatter = report.scatter
    if scatter is None:
        return ""
    note = f"The two components explain {scatter.explained_variance_ratio:.0%} of the variance."
    title = "Items projected onto the first two principal components of the real items"
    return "<h2>Projection (PCA)</h2>" + _chart_grid(
        [svg_charts.scatter_plot(title, scatter.real, scatter.synthetic, note)]
    )


def _distributions(report: Report) -> str:
    charts = []
    for row in report.statistics:
        if row.label is None and "shares" in row.real:
            shares = row.real["shares"], row.synthetic.get("shares", {})
            charts.append(svg_charts.bar_chart(row.column, *shares, max_bars=MAX_BARS))
        elif row.label is None and row.histogram is not None:
            is_time = row.type == "datetime"
            bars = row.histogram.model_dump()
            charts.append(svg_charts.histogram(row.column, bars, is_datetime=is_time))
    return _chart_grid(charts)


def _statistics(report: Report) -> str:
    """Return one table of the numeric columns for all items, and one for each label."""
    numeric = [column for column in report.statistics if "shares" not in column.real]
    tables = []
    for label in dict.fromkeys(column.label for column in numeric):
        rows = [row for column in numeric if column.label == label for row in _sides(column)]
        title = "All items" if label is None else f"Label {html.escape(label)}"
        tables.append(f"<h3>{title}</h3>{html_table(('column', 'side', *STATISTIC_NAMES), rows)}")
    return "".join(tables)


def _sides(column: ColumnStatistics) -> list[list[str]]:
    """Return a table row of the real and one of the synthetic statistics."""
    rows = []
    for side, statistics in (("real", column.real), ("synthetic", column.synthetic)):
        if column.type == "datetime":
            statistics = format_datetime_statistics(statistics)
        values = [statistics.get(name) for name in STATISTIC_NAMES]
        cells = [value if isinstance(value, str) else format_number(value) for value in values]
        rows.append([html.escape(column.column) if side == "real" else "", side, *cells])
    return rows
