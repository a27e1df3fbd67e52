"""Plots as SVG inside a page: nothing is loaded, no script is needed."""

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

REAL_COLOR, SYNTHETIC_COLOR = "#1668a8", "#d0581e"
LINE_COLORS = (REAL_COLOR, SYNTHETIC_COLOR, "#5b7f2b")  # of lines
CHART_WIDTH, CHART_HEIGHT = 360, 170
AXIS_MARGIN = 16  # under a plot, for the ends of its axis
BAR_HEIGHT = 26  # of a category, both sides
LABEL_WIDTH = 125  # of a category, to the left of its bars
HEATMAP_SIZE = 240  # of a matrix
DOT_RADIUS = 4

Points = Sequence[tuple[float, float]]

STYLE = (
    ".plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));"
    "gap:1rem 2rem}figure{margin:0}figcaption{font-weight:600;margin-bottom:.3rem}"
    "figure small{display:block;color:#666}svg{width:100%;height:auto;display:block}"
    f"svg text{{font:12.5px sans-serif;fill:#444}}.real{{color:{REAL_COLOR}}}.synthetic{{color:{SYNTHETIC_COLOR}}}"
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
    """Since 1970, as the statistics of a column of times have it."""
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return format_number(microseconds)


def line_chart(
    title: str, series: Mapping[str, Points], *, y_range: tuple[float, float] | None = None
) -> str:
    """Over steps; of a short run, which was looked at once, there are dots. `ends`: of the scale,
    or as far as the values go."""
    series = {name: line for name, line in series.items() if line}
    if not series:
        return ""
    points = [point for line in series.values() for point in line]
    last = max(step for step, _ in points) or 1
    low, high = y_range or (min(v for _, v in points), max(v for _, v in points))
    drawn = []
    for colour, line in zip(LINE_COLORS, series.values(), strict=False):
        places = [
            (CHART_WIDTH * x / last, CHART_HEIGHT * (high - y) / ((high - low) or 1))
            for x, y in line
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawn.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{path}"/>'
            if len(line) > 1
            else _dot(*places[0], colour)
        )
    note = "; ".join(
        f'<b style="color:{colour}">{html.escape(name)}</b> {format_number(line[-1][1])} at the end'
        for colour, (name, line) in zip(LINE_COLORS, series.items(), strict=False)
    )
    scale = f"{format_number(low)} to {format_number(high)}, steps 0 to {format_number(last)}"
    return _figure(title, drawn, CHART_HEIGHT, f"<small>{note}</small><small>{scale}</small>")


def _dot(x: float, y: float, colour: str) -> str:
    """Whole, also at an edge."""
    x, y = min(x, CHART_WIDTH - DOT_RADIUS), min(max(y, DOT_RADIUS), CHART_HEIGHT - DOT_RADIUS)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT_RADIUS}" fill="{colour}"/>'


def histogram(
    title: str, histogram_data: Mapping[str, Sequence[float]], *, is_datetime: bool = False
) -> str:
    edges, sides = histogram_data["edges"], (histogram_data["real"], histogram_data["synthetic"])
    most = max(*sides[0], *sides[1]) or 1
    wide = CHART_WIDTH / len(sides[0])
    drawn = []
    for half, (shares, colour) in enumerate(zip(sides, (REAL_COLOR, SYNTHETIC_COLOR), strict=True)):
        drawn += [
            f'<rect x="{wide * (i + 0.06 + half * 0.44):.1f}" '
            f'y="{CHART_HEIGHT * (1 - share / most):.1f}" width="{wide * 0.44:.1f}" '
            f'height="{CHART_HEIGHT * share / most:.1f}" fill="{colour}"/>'
            for i, share in enumerate(shares)
        ]
    first, last = (
        format_date(edge) if is_datetime else f"{edge:.4g}" for edge in (edges[0], edges[-1])
    )
    bottom = CHART_HEIGHT + AXIS_MARGIN - 2
    ends = _text(0, bottom, first), _text(CHART_WIDTH, bottom, last, anchor="end")
    return _figure(title, [*drawn, *ends], CHART_HEIGHT + AXIS_MARGIN, LEGEND)


def bar_chart(
    title: str, real: Mapping[str, float], synthetic: Mapping[str, float], *, max_bars: int
) -> str:
    """The shares of the first names."""
    shown = list(real)[:max_bars]
    wide = (CHART_WIDTH - LABEL_WIDTH) / (
        max([*real.values(), *synthetic.values()], default=0) or 1
    )
    drawn = []
    for i, name in enumerate(shown):
        top = BAR_HEIGHT * i
        drawn.append(_text(LABEL_WIDTH - 6, top + 15, _short(name, 16), anchor="end"))
        drawn += [
            f'<rect x="{LABEL_WIDTH}" y="{top + 2 + 10 * half}" height="10" fill="{colour}" '
            f'width="{wide * shares.get(name, 0.0):.1f}"/>'
            for half, (shares, colour) in enumerate(
                ((real, REAL_COLOR), (synthetic, SYNTHETIC_COLOR))
            )
        ]
    more = len(real) - len(shown)
    note = f"<small>and {more} more</small>" if more > 0 else ""
    return _figure(title, drawn, BAR_HEIGHT * max(1, len(shown)), LEGEND + note)


def scatter_plot(title: str, real: Points, synthetic: Points, note: str) -> str:
    points = [*real, *synthetic]
    (left, right), (low, high) = ((min(v), max(v)) for v in zip(*points, strict=True))
    tall = CHART_WIDTH * 0.75

    def place(x: float, y: float) -> str:
        across = 4 + (CHART_WIDTH - 8) * (x - left) / ((right - left) or 1)
        down = 4 + (tall - 8) * (high - y) / ((high - low) or 1)
        return f'cx="{across:.1f}" cy="{down:.1f}"'

    # In turns: neither set hides the other.
    dots = [
        (i, f'<circle {place(*point)} r="2" fill="{colour}" fill-opacity=".55"/>')
        for side, colour in ((real, REAL_COLOR), (synthetic, SYNTHETIC_COLOR))
        for i, point in enumerate(side)
    ]
    drawn = [dot for _, dot in sorted(dots, key=lambda dot: dot[0])]
    return _figure(title, drawn, tall, f"{LEGEND}<small>{html.escape(note)}</small>")


def heatmap(title: str, names: Sequence[str], values: Sequence[Sequence[float]]) -> str:
    """Shares from 0 to 1, darker for more; each cell says its own when it is pointed at."""
    left, cell = CHART_WIDTH - HEATMAP_SIZE, HEATMAP_SIZE / max(1, len(names))
    size = min(11.0, cell)
    drawn = []
    for i, name in enumerate(names):
        middle = cell * (i + 0.5)
        drawn.append(
            f'<text x="{left - 4}" y="{middle + size / 3:.1f}" text-anchor="end" '
            f'style="font-size:{size:.1f}px">{html.escape(_short(name, 18))}</text>'
        )
        drawn += [
            f'<rect x="{left + cell * j:.1f}" y="{cell * i:.1f}" width="{cell:.1f}" '
            f'height="{cell:.1f}" fill="{REAL_COLOR}" fill-opacity="{value:.2f}">'
            f"<title>{html.escape(name)}, {html.escape(names[j])}: {value:.2f}</title></rect>"
            for j, value in enumerate(values[i])
        ]
    frame = f'<rect x="{left}" width="{HEATMAP_SIZE}" height="{HEATMAP_SIZE}" fill="none" stroke="#bbb"/>'
    return _figure(title, [*drawn, frame], HEATMAP_SIZE + 1, "")


def _figure(title: str, drawn: Sequence[str], height: float, notes: str) -> str:
    return (
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f'<svg role="img" aria-label="{html.escape(title)}" viewBox="0 0 {CHART_WIDTH} {height:.0f}">'
        f"{''.join(drawn)}</svg>{notes}</figure>"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
