"""Line charts as SVG."""

from app import svg_charts


def test_a_single_point_is_a_dot_and_no_points_are_no_chart() -> None:
    svg = svg_charts.line_chart(
        "Losses", {"critic_loss": [(100, 0.3)], "generator_loss": [(100, 1.5)]}
    )
    assert svg.count("<circle") == 2
    assert "critic_loss</b> 0.300 at the end" in svg
    assert (
        svg_charts.line_chart("Losses", {"critic_loss": []})
        == svg_charts.line_chart("Losses", {})
        == ""
    )


def test_three_lines_have_three_colors() -> None:
    names = ("critic_loss", "generator_loss", "holdout_loss")
    svg = svg_charts.line_chart("Losses", {name: [(0, 1.0), (9, 2.0)] for name in names})
    assert svg.count("<polyline") == 3
    assert all(svg.count(color) == 2 for color in svg_charts.LINE_COLORS)  # the line and its legend


def test_y_range_sets_the_scale_of_the_vertical_axis() -> None:
    svg = svg_charts.line_chart("Accuracy", {"real": [(0, 0.5), (9, 0.51)]}, y_range=(0.0, 1.0))
    middle = svg_charts.CHART_HEIGHT / 2
    assert f'points="0.0,{middle:.1f} ' in svg
    assert "Vertical axis: 0 to 1. Horizontal axis: steps 0 to 9." in svg
