"""Charts as inline SVG for HTML pages, without scripts or external resources."""

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

REAL_COLOR, SYNTHETIC_COLOR = "#1668a8", "#d0581e"
LINE_COLORS = (REAL_COLOR, SYNTHETIC_COLOR, "#5b7f2b")
CHART_WIDTH, CHART_HEIGHT = 360, 170
AXIS_MARGIN = 16  # below a histogram, for the labels of its axis
BAR_HEIGHT = 26  # of a category, for its real and its synthetic bar
LABEL_WIDTH = 125  # left of the bars, for the name of the category
HEATMAP_SIZE = 240
DOT_RADIUS = 4

Points = Sequence[tuple[float, float]]

STYLE = (
    ".plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));"
    "gap:1rem 2rem}figure{margin:0}figcaption{font-weight:600;margin-bottom:.3rem}"
    "figure small{display:block;color:#666}svg{width:100%;height:auto;display:block}"
    f"svg text{{font:12.5px sans-serif;fill:#444}}.real{{color:{REAL_COLOR}}}"
    f".synthetic{{color:{SYNTHETIC_COLOR}}}"
)
LEGEND = '<small><b class="real">■</b> real <b class="synthetic">■</b> synthetic</small>'


def format_number(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    if abs(value) >= 1e6:
        return f"{value:.4g}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3f}"


def format_date(microseconds: float) -> str:
    """Return the ISO date of a time in microseconds since 1970 (UTC)."""
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return format_number(microseconds)


def line_chart(
    title: str, series: Mapping[str, Points], *, y_range: tuple[float, float] | None = None
) -> str:
    """Return a chart of metrics over training steps; a metric with one value becomes a dot.

    `y_range` is the range of the vertical axis. By default, it is the range of the values.
    """
    series = {name: line for name, line in series.items() if line}
    if not series:
        return ""
    points = [point for line in series.values() for point in line]
    last_step = max(step for step, _ in points) or 1
    low, high = y_range or (min(v for _, v in points), max(v for _, v in points))
    shapes = []
    for color, line in zip(LINE_COLORS, series.values(), strict=False):
        positions = [
            (CHART_WIDTH * x / last_step, CHART_HEIGHT * (high - y) / ((high - low) or 1))
            for x, y in line
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in positions)
        shapes.append(
            f'<polyline fill="none" stroke="{color}" stroke-width="1.5" points="{path}"/>'
            if len(line) > 1
            else _dot(*positions[0], color)
        )
    legend = "; ".join(
        f'<b style="color:{color}">{html.escape(name)}</b> {format_number(line[-1][1])} at the end'
        for color, (name, line) in zip(LINE_COLORS, series.items(), strict=False)
    )
    scale = (
        f"Vertical axis: {format_number(low)} to {format_number(high)}. "
        f"Horizontal axis: steps 0 to {format_number(last_step)}."
    )
    return _figure(title, shapes, CHART_HEIGHT, f"<small>{legend}</small><small>{scale}</small>")


def _dot(x: float, y: float, color: str) -> str:
    # Moved inside the chart if the edge would cut it.
    x, y = min(x, CHART_WIDTH - DOT_RADIUS), min(max(y, DOT_RADIUS), CHART_HEIGHT - DOT_RADIUS)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT_RADIUS}" fill="{color}"/>'


def histogram(
    title: str, histogram_data: Mapping[str, Sequence[float]], *, is_datetime: bool = False
) -> str:
    """Return a chart with one real and one synthetic bar per bin.

    `histogram_data` has the `edges` of the bins and the shares `real` and `synthetic`.
    """
    edges, sides = histogram_data["edges"], (histogram_data["real"], histogram_data["synthetic"])
    max_share = max(*sides[0], *sides[1]) or 1
    bin_width = CHART_WIDTH / len(sides[0])
    shapes = []
    for half, (shares, color) in enumerate(zip(sides, (REAL_COLOR, SYNTHETIC_COLOR), strict=True)):
        shapes += [
            f'<rect x="{bin_width * (i + 0.06 + half * 0.44):.1f}" '
            f'y="{CHART_HEIGHT * (1 - share / max_share):.1f}" width="{bin_width * 0.44:.1f}" '
            f'height="{CHART_HEIGHT * share / max_share:.1f}" fill="{color}"/>'
            for i, share in enumerate(shares)
        ]
    first, last = (
        format_date(edge) if is_datetime else f"{edge:.4g}" for edge in (edges[0], edges[-1])
    )
    bottom = CHART_HEIGHT + AXIS_MARGIN - 2
    axis_labels = _text(0, bottom, first), _text(CHART_WIDTH, bottom, last, anchor="end")
    return _figure(title, [*shapes, *axis_labels], CHART_HEIGHT + AXIS_MARGIN, LEGEND)


def bar_chart(
    title: str, real: Mapping[str, float], synthetic: Mapping[str, float], *, max_bars: int
) -> str:
    """Return a chart of the shares of the first `max_bars` categories of `real`."""
    shown = list(real)[:max_bars]
    max_share = max([*real.values(), *synthetic.values()], default=0) or 1
    scale = (CHART_WIDTH - LABEL_WIDTH) / max_share
    shapes = []
    for i, name in enumerate(shown):
        top = BAR_HEIGHT * i
        shapes.append(_text(LABEL_WIDTH - 6, top + 15, _shorten(name, 16), anchor="end"))
        shapes += [
            f'<rect x="{LABEL_WIDTH}" y="{top + 2 + 10 * half}" height="10" fill="{color}" '
            f'width="{scale * shares.get(name, 0.0):.1f}"/>'
            for half, (shares, color) in enumerate(
                ((real, REAL_COLOR), (synthetic, SYNTHETIC_COLOR))
            )
        ]
    hidden = len(real) - len(shown)
    note = f"<small>and {hidden} more</small>" if hidden > 0 else ""
    return _figure(title, shapes, BAR_HEIGHT * max(1, len(shown)), LEGEND + note)


def scatter_plot(title: str, real: Points, synthetic: Points, note: str) -> str:
    points = [*real, *synthetic]
    (left, right), (low, high) = ((min(v), max(v)) for v in zip(*points, strict=True))
    height = CHART_WIDTH * 0.75

    def center(x: float, y: float) -> str:
        cx = 4 + (CHART_WIDTH - 8) * (x - left) / ((right - left) or 1)
        cy = 4 + (height - 8) * (high - y) / ((high - low) or 1)
        return f'cx="{cx:.1f}" cy="{cy:.1f}"'

    # Real and synthetic dots alternate, so that neither set covers the other.
    dots = [
        (i, f'<circle {center(*point)} r="2" fill="{color}" fill-opacity=".55"/>')
        for side, color in ((real, REAL_COLOR), (synthetic, SYNTHETIC_COLOR))
        for i, point in enumerate(side)
    ]
    shapes = [dot for _, dot in sorted(dots, key=lambda dot: dot[0])]
    return _figure(title, shapes, height, f"{LEGEND}<small>{html.escape(note)}</small>")


def heatmap(title: str, names: Sequence[str], values: Sequence[Sequence[float]]) -> str:
    """Return a matrix of values from 0 (white) to 1 (blue), each with a tooltip."""
    left, cell = CHART_WIDTH - HEATMAP_SIZE, HEATMAP_SIZE / max(1, len(names))
    font_size = min(11.0, cell)
    shapes = []
    for i, name in enumerate(names):
        middle = cell * (i + 0.5)
        shapes.append(
            f'<text x="{left - 4}" y="{middle + font_size / 3:.1f}" text-anchor="end" '
            f'style="font-size:{font_size:.1f}px">{html.escape(_shorten(name, 18))}</text>'
        )
        shapes += [
            f'<rect x="{left + cell * j:.1f}" y="{cell * i:.1f}" width="{cell:.1f}" '
            f'height="{cell:.1f}" fill="{REAL_COLOR}" fill-opacity="{value:.2f}">'
            f"<title>{html.escape(name)}, {html.escape(names[j])}: {value:.2f}</title></rect>"
            for j, value in enumerate(values[i])
        ]
    frame = (
        f'<rect x="{left}" width="{HEATMAP_SIZE}" height="{HEATMAP_SIZE}" fill="none" '
        'stroke="#bbb"/>'
    )
    return _figure(title, [*shapes, frame], HEATMAP_SIZE + 1, "")


def _figure(title: str, shapes: Sequence[str], height: float, notes: str) -> str:
    title = html.escape(title)
    return (
        f"<figure><figcaption>{title}</figcaption>"
        f'<svg role="img" aria-label="{title}" viewBox="0 0 {CHART_WIDTH} {height:.0f}">'
        f"{''.join(shapes)}</svg>{notes}</figure>"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _shorten(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"
