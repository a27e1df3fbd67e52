"""Line charts and histograms as SVG."""

from app.pages import svg_charts
from app.pages.svg_charts import Chart


def line_chart(title: str, series: dict[str, list[tuple[float, float]]]) -> Chart:
    chart = svg_charts.line_chart(title, series)
    assert chart is not None
    return chart


def test_a_single_point_is_a_dot_and_no_points_are_no_chart() -> None:
    chart = line_chart("Losses", {"critic_loss": [(100, 0.3)], "generator_loss": [(100, 1.5)]})
    assert chart.shapes.count("<circle") == 2
    assert (chart.legend[0].name, chart.legend[0].text) == ("critic_loss", "0.300 at the end")
    assert svg_charts.line_chart("Losses", {"critic_loss": []}) is None
    assert svg_charts.line_chart("Losses", {}) is None


def test_three_lines_have_three_colors() -> None:
    names = ("critic_loss", "generator_loss", "holdout_loss")
    chart = line_chart("Losses", {name: [(0, 1.0), (9, 2.0)] for name in names})
    assert chart.shapes.count("<polyline") == 3
    assert all(chart.shapes.count(color) == 1 for color in svg_charts.LINE_COLORS)
    assert tuple(entry.color for entry in chart.legend) == svg_charts.LINE_COLORS


def test_y_range_sets_the_scale_of_the_vertical_axis() -> None:
    chart = svg_charts.line_chart("Accuracy", {"real": [(0, 0.5), (9, 0.51)]}, y_range=(0.0, 1.0))
    assert chart is not None
    middle = svg_charts.CHART_HEIGHT / 2
    assert f'points="0.0,{middle:.1f} ' in chart.shapes
    assert chart.notes == ("Vertical axis: 0 to 1. Horizontal axis: steps 0 to 9.",)


def test_a_histogram_says_that_its_outermost_bars_include_the_values_beyond_the_axis() -> None:
    bars = {"edges": [0.0, 1.0, 2.0], "real": [0.5, 0.5], "synthetic": [0.1, 0.9]}
    assert "beyond the axis" in " ".join(svg_charts.histogram("age", bars).notes)
