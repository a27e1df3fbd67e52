"""Plots as SVG."""

from app import svg_charts


def test_what_was_looked_at_once_is_a_dot_and_what_was_never_is_no_chart() -> None:
    drawn = svg_charts.line_chart(
        "Losses", {"critic_loss": [(100, 0.3)], "generator_loss": [(100, 1.5)]}
    )
    assert drawn.count("<circle") == 2
    assert "critic_loss</b> 0.300 at the end" in drawn
    assert (
        svg_charts.line_chart("Losses", {"critic_loss": []})
        == svg_charts.line_chart("Losses", {})
        == ""
    )


def test_three_lines_have_three_colours() -> None:
    names = ("critic_loss", "generator_loss", "holdout_loss")
    drawn = svg_charts.line_chart("Losses", {name: [(0, 1.0), (9, 2.0)] for name in names})
    assert drawn.count("<polyline") == 3
    assert all(
        drawn.count(colour) == 2 for colour in svg_charts.LINE_COLORS
    )  # of the line and its name


def test_shares_are_drawn_on_the_scale_of_shares() -> None:
    drawn = svg_charts.line_chart("Accuracy", {"real": [(0, 0.5), (9, 0.51)]}, y_range=(0.0, 1.0))
    middle = svg_charts.CHART_HEIGHT / 2
    assert f'points="0.0,{middle:.1f} ' in drawn
    assert "Vertical axis: 0 to 1. Horizontal axis: steps 0 to 9." in drawn
