"""HTML of the objects that notebooks display; works on light and on dark pages."""

from collections.abc import Iterable, Sequence
from html import escape

BOX = "border:1px solid #8884;border-radius:6px;padding:8px 12px;max-width:60em;margin:4px 0"
WIDTH, HEIGHT = 320, 60  # of a curve, in pixels


def box(title: str, *content: str) -> str:
    parts = "".join(f"<div style='margin-top:6px'>{part}</div>" for part in content if part)
    return f"<div style='{BOX}'><b>{escape(title)}</b>{parts}</div>"


def text(value: object) -> str:
    return escape("" if value is None else str(value))


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th style='text-align:left'>{escape(header)}</th>" for header in headers)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{text(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def picture(base64_png: str) -> str:
    return f"<img alt='samples' src='data:image/png;base64,{base64_png}'>"


def bar(percent: float) -> str:
    width = max(0.0, min(100.0, percent))
    return (
        "<div style='background:#8883;border-radius:3px;height:8px;width:320px'>"
        f"<div style='background:#4a7;border-radius:3px;height:8px;width:{width:.1f}%'></div></div>"
    )


def curve(name: str, values: Sequence[float]) -> str:
    """Return a line chart of the values as SVG."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{WIDTH * i / (len(values) - 1):.1f},{HEIGHT - 2 - (HEIGHT - 4) * (v - low) / span:.1f}"
        for i, v in enumerate(values)
    )
    return (
        f"<svg width='{WIDTH}' height='{HEIGHT}' role='img' aria-label='{escape(name)}'>"
        f"<polyline fill='none' stroke='#4a7' stroke-width='1.5' points='{points}'/></svg>"
        f"<div style='font-size:85%'>{escape(name)}: {values[-1]:.4g}</div>"
    )
