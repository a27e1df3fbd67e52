"""HTML page of a model's report."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.model_report import MetricSeries
from app.pages import page_templates, svg_charts
from app.pages.svg_charts import Chart
from app.report_csv import STATISTIC_NAMES, format_time_statistics
from app.schemas.reports import ColumnAssociations, ColumnStatistics, Report, Scatter
from app.value_format import format_number
from job_kinds.evaluation.plan import all_score_types

LOSS_CHART = "Losses"
TRAINING_CHARTS = {
    LOSS_CHART: ("critic_loss", "generator_loss", "holdout_loss"),
    "Accuracy of the critic (discriminator) on holdout items": (
        "critic_accuracy_real",
        "critic_accuracy_fake",
    ),
    "Coverage of holdout items": ("coverage",),
}
MAX_BARS = 12  # further values of a category are not drawn
MAX_COLUMN_PAIRS = 5  # in the table of associations
BEST_VALUES = {
    "higher": "Higher is better.",
    "lower": "Lower is better.",
    "target": ".5 is best.",
}


@dataclass(frozen=True)
class GalleryImage:
    title: str
    base64: str


@dataclass(frozen=True)
class ColumnPair:
    columns: tuple[str, str]
    real: float
    synthetic: float


@dataclass(frozen=True)
class StatisticsTable:
    title: str
    rows: list[list[str]]


def render_page(
    report: Report, training_metrics: MetricSeries, pictures: Mapping[str, bytes]
) -> str:
    """Render the page. `pictures` are the PNG files of `report.pictures`."""
    associations = report.column_associations
    score_types = all_score_types()
    privacy_scores = {name for name, type in score_types.items() if type.concerns_privacy}
    return page_templates.render(
        "report.html",
        title=f"Report on {report.reference}",
        report=report,
        not_evaluable_reason=(report.not_evaluable_reason or "").removesuffix("."),
        score_descriptions={name: type.description for name, type in score_types.items()},
        best_values=BEST_VALUES,
        quality_scores=[s for s in report.scores if s.name not in privacy_scores],
        privacy_scores=[s for s in report.scores if s.name in privacy_scores],
        distance_chart=_distance_chart(report),
        **_label_scores(report),
        images=[
            GalleryImage(report.pictures[name], base64.b64encode(png).decode())
            for name, png in pictures.items()
        ],
        heatmaps=_heatmaps(associations) if associations else [],
        column_pairs=_most_different_pairs(associations) if associations else [],
        scatter_chart=_scatter_chart(report),
        training_charts=_training_charts(training_metrics),
        distribution_charts=_distribution_charts(report.statistics),
        statistic_names=list(STATISTIC_NAMES),
        statistics_tables=_statistics_tables(report.statistics),
    )


def _distance_chart(report: Report) -> Chart | None:
    if report.nearest_train_distance is None:
        return None
    title = "Distance from samples and from unseen real items to the nearest training item"
    return svg_charts.histogram(title, report.nearest_train_distance.model_dump())


def _label_scores(report: Report) -> dict[str, Any]:
    # `pairwise_tvd` may have hundreds of column pairs, so only the JSON report lists them. Those of
    # `unseen_pair_rate` have a table with more figures.
    other = ("pairwise_tvd", "unseen_pair_rate")
    shown = [s for s in report.scores if s.per_label and s.name not in other]
    labels = dict.fromkeys(label for score in shown for label in score.per_label)
    return {"label_scores": shown, "scored_labels": list(labels)}


def _heatmaps(associations: ColumnAssociations) -> list[Chart]:
    return [
        svg_charts.heatmap("Real", associations.columns, associations.real),
        svg_charts.heatmap("Synthetic", associations.columns, associations.synthetic),
    ]


def _most_different_pairs(associations: ColumnAssociations) -> list[ColumnPair]:
    """Return the pairs of columns whose real and synthetic associations differ most."""
    names, real, synthetic = associations.columns, associations.real, associations.synthetic
    differences = sorted(
        ((abs(real[i][j] - synthetic[i][j]), i, j) for i in range(len(names)) for j in range(i)),
        reverse=True,
    )
    return [
        ColumnPair((names[j], names[i]), real[i][j], synthetic[i][j])
        for _, i, j in differences[:MAX_COLUMN_PAIRS]
    ]


def _scatter_chart(report: Report) -> Chart | None:
    scatter = report.scatter
    if scatter is None:
        return None
    note = f"The two components explain {scatter.explained_variance_ratio:.0%} of the variance."
    title = "Items projected onto the first two principal components of the real items"
    return svg_charts.scatter_plot(title, *_coordinates(scatter), note)


def _coordinates(scatter: Scatter) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    return [(x, y) for x, y in scatter.real], [(x, y) for x, y in scatter.synthetic]


def _training_charts(training_metrics: MetricSeries) -> list[Chart]:
    charts = (
        svg_charts.line_chart(
            title,
            {name: training_metrics[name] for name in names if name in training_metrics},
            y_range=None if title == LOSS_CHART else (0.0, 1.0),
        )
        for title, names in TRAINING_CHARTS.items()
    )
    return [chart for chart in charts if chart is not None]


def _distribution_charts(statistics: Sequence[ColumnStatistics]) -> list[Chart]:
    charts = []
    for row in statistics:
        if row.label is None and row.real.shares is not None:
            shares = row.real.shares, row.synthetic.shares or {}
            charts.append(svg_charts.bar_chart(row.column, *shares, max_bars=MAX_BARS))
        elif row.label is None and row.histogram is not None:
            bars = row.histogram.model_dump()
            charts.append(svg_charts.histogram(row.column, bars, type=row.type))
    return charts


def _statistics_tables(statistics: Sequence[ColumnStatistics]) -> list[StatisticsTable]:
    """Return one table of the numeric columns for all items, and one for each label."""
    numeric = [column for column in statistics if column.real.shares is None]
    return [
        StatisticsTable(
            title="All items" if label is None else f"Label {label}",
            rows=[row for column in numeric if column.label == label for row in _sides(column)],
        )
        for label in dict.fromkeys(column.label for column in numeric)
    ]


def _sides(column: ColumnStatistics) -> list[list[str]]:
    """Return a table row of the real and one of the synthetic statistics."""
    rows = []
    for side, fields in (("real", column.real), ("synthetic", column.synthetic)):
        statistics = fields.model_dump(exclude_none=True)
        statistics = format_time_statistics(statistics, column.type)
        values = [statistics.get(name) for name in STATISTIC_NAMES]
        cells = [value if isinstance(value, str) else format_number(value) for value in values]
        rows.append([column.column if side == "real" else "", side, *cells])
    return rows
