"""Charts as inline SVG for the report, without scripts or external resources."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.pages.svg_element import element
from app.value_format import format_number, format_value

# Defined in templates/theme.css, for light and dark pages.
REAL_COLOR, SYNTHETIC_COLOR = "var(--real)", "var(--synthetic)"
LINE_COLORS = (REAL_COLOR, SYNTHETIC_COLOR, "var(--third)")
CHART_WIDTH, CHART_HEIGHT = 360, 170
AXIS_MARGIN = 16  # below a histogram, for the labels of its axis
BAR_HEIGHT = 26  # of a category, for its real and its synthetic bar
LABEL_WIDTH = 125  # left of the bars, for the name of the category
HEATMAP_SIZE = 240
DOT_RADIUS = 4
CLIPPED_NOTE = "The first and last bar also count the values beyond the axis."

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class LegendEntry:
    color: str
    name: str
    text: str = ""


REAL_AND_SYNTHETIC = (LegendEntry(REAL_COLOR, "real"), LegendEntry(SYNTHETIC_COLOR, "synthetic"))


@dataclass(frozen=True)
class Chart:
    """Shapes of an SVG image that is CHART_WIDTH wide, and the text around it."""

    title: str
    shapes: Markup
    height: int
    legend: Sequence[LegendEntry] = REAL_AND_SYNTHETIC
    notes: Sequence[str] = ()
    width: int = CHART_WIDTH


def line_chart(
    title: str, series: Mapping[str, Points], *, y_range: tuple[float, float] | None = None
) -> Chart | None:
    """Return a chart of metrics over training steps; a metric with one value becomes a dot.

    `y_range` is the range of the vertical axis. By default, it is the range of the values. Without
    values, the result is None.
    """
    series = {name: line for name, line in series.items() if line}
    if not series:
        return None
    points = [point for line in series.values() for point in line]
    last_step = max(step for step, _ in points) or 1
    low, high = y_range or (min(v for _, v in points), max(v for _, v in points))
    shapes, legend = [], []
    for color, (name, line) in zip(LINE_COLORS, series.items(), strict=False):
        legend.append(LegendEntry(color, name, f"{format_number(line[-1][1])} at the end"))
        positions = [
            (CHART_WIDTH * x / last_step, CHART_HEIGHT * (high - y) / ((high - low) or 1))
            for x, y in line
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in positions)
        shapes.append(
            element("polyline", fill="none", stroke=color, stroke_width="1.5", points=path)
            if len(line) > 1
            else _dot(*positions[0], color)
        )
    scale = (
        f"Vertical axis: {format_number(low)} to {format_number(high)}. "
        f"Horizontal axis: steps 0 to {format_number(last_step)}."
    )
    return Chart(title, _join(shapes), CHART_HEIGHT, legend, (scale,))


def _dot(x: float, y: float, color: str) -> Markup:
    # Moved inside the chart if the edge would cut it.
    x, y = min(x, CHART_WIDTH - DOT_RADIUS), min(max(y, DOT_RADIUS), CHART_HEIGHT - DOT_RADIUS)
    return element("circle", cx=float(x), cy=float(y), r=DOT_RADIUS, fill=color)


def histogram(
    title: str, histogram_data: Mapping[str, Sequence[float]], *, type: str | None = None
) -> Chart:
    """Return a chart with one real and one synthetic bar per bin.

    `histogram_data` has the `edges` of the bins and the shares `real` and `synthetic`. `type` is
    that of the column.
    """
    edges, sides = histogram_data["edges"], (histogram_data["real"], histogram_data["synthetic"])
    max_share = max(*sides[0], *sides[1]) or 1
    bin_width = CHART_WIDTH / len(sides[0])
    bars = [
        element(
            "rect",
            x=bin_width * (i + 0.06 + half * 0.44),
            y=CHART_HEIGHT * (1 - share / max_share),
            width=bin_width * 0.44,
            height=CHART_HEIGHT * share / max_share,
            fill=color,
        )
        for half, (shares, color) in enumerate(
            zip(sides, (REAL_COLOR, SYNTHETIC_COLOR), strict=True)
        )
        for i, share in enumerate(shares)
    ]
    first, last = (format_value(edge, type) for edge in (edges[0], edges[-1]))
    bottom = CHART_HEIGHT + AXIS_MARGIN - 2
    axis_labels = _text(0, bottom, first), _text(CHART_WIDTH, bottom, last, anchor="end")
    height = CHART_HEIGHT + AXIS_MARGIN
    return Chart(title, _join([*bars, *axis_labels]), height, notes=(CLIPPED_NOTE,))


def bar_chart(
    title: str, real: Mapping[str, float], synthetic: Mapping[str, float], *, max_bars: int
) -> Chart:
    """Return a chart of the shares of the first `max_bars` categories of `real`."""
    shown = list(real)[:max_bars]
    max_share = max([*real.values(), *synthetic.values()], default=0) or 1
    scale = (CHART_WIDTH - LABEL_WIDTH) / max_share
    shapes = []
    for i, name in enumerate(shown):
        top = BAR_HEIGHT * i
        shapes.append(_text(LABEL_WIDTH - 6, top + 15, _shorten(name, 16), anchor="end"))
        shapes += [
            element(
                "rect",
                x=LABEL_WIDTH,
                y=top + 2 + 10 * half,
                height=10,
                fill=color,
                width=scale * shares.get(name, 0.0),
            )
            for half, (shares, color) in enumerate(
                ((real, REAL_COLOR), (synthetic, SYNTHETIC_COLOR))
            )
        ]
    hidden = len(real) - len(shown)
    notes = (f"and {hidden} more",) if hidden > 0 else ()
    return Chart(title, _join(shapes), BAR_HEIGHT * max(1, len(shown)), notes=notes)


def scatter_plot(title: str, real: Points, synthetic: Points, note: str) -> Chart:
    points = [*real, *synthetic]
    (left, right), (low, high) = ((min(v), max(v)) for v in zip(*points, strict=True))
    height = CHART_WIDTH * 3 // 4

    def dot(x: float, y: float, color: str) -> Markup:
        return element(
            "circle",
            cx=4 + (CHART_WIDTH - 8) * (x - left) / ((right - left) or 1),
            cy=4 + (height - 8) * (high - y) / ((high - low) or 1),
            r=2,
            fill=color,
            fill_opacity=".55",
        )

    # Real and synthetic dots alternate, so that neither set covers the other.
    dots = [
        (i, dot(*point, color))
        for side, color in ((real, REAL_COLOR), (synthetic, SYNTHETIC_COLOR))
        for i, point in enumerate(side)
    ]
    shapes = [shape for _, shape in sorted(dots, key=lambda item: item[0])]
    return Chart(title, _join(shapes), height, notes=(note,))


def heatmap(title: str, names: Sequence[str], values: Sequence[Sequence[float]]) -> Chart:
    """Return a matrix of values from 0 (white) to 1 (blue), each with a tooltip."""
    left, cell = CHART_WIDTH - HEATMAP_SIZE, HEATMAP_SIZE / max(1, len(names))
    font_size = min(11.0, cell)
    shapes = []
    for i, name in enumerate(names):
        shapes.append(
            element(
                "text",
                _shorten(name, 18),
                x=left - 4,
                y=cell * (i + 0.5) + font_size / 3,
                text_anchor="end",
                style=f"font-size:{font_size:.1f}px",
            )
        )
        shapes += [
            element(
                "rect",
                element("title", f"{name}, {names[j]}: {value:.2f}"),
                x=left + cell * j,
                y=cell * i,
                width=cell,
                height=cell,
                fill=REAL_COLOR,
                fill_opacity=f"{value:.2f}",
            )
            for j, value in enumerate(values[i])
        ]
    frame = element(
        "rect", x=left, width=HEATMAP_SIZE, height=HEATMAP_SIZE, fill="none", stroke="var(--line)"
    )
    return Chart(title, _join([*shapes, frame]), HEATMAP_SIZE + 1, legend=())


def _join(shapes: Iterable[Markup]) -> Markup:
    return Markup("").join(shapes)


def _text(x: int, y: int, text: str, *, anchor: str = "start") -> Markup:
    return element("text", text, x=x, y=y, text_anchor=anchor)


def _shorten(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"
