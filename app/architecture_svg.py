"""The networks of a model as a picture: a box for each layer, from top to bottom."""

from collections.abc import Sequence
from html import escape

from app.schemas.models import Architecture, LayerView

BOX_WIDTH, BOX_HEIGHT, GAP, TOP_MARGIN = 460, 44, 10, 60
MAX_LINE_CHARS = 50  # of a line in a box


def render_svg(architecture: Architecture, title: str) -> str:
    """One column for each network."""
    rows = max((len(part.layers) for part in architecture.networks), default=0)
    width = len(architecture.networks) * (BOX_WIDTH + 2 * GAP)
    height = TOP_MARGIN + 30 + rows * (BOX_HEIGHT + GAP)
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(GAP, 24, f"{title}: {architecture.parameters:,} parameters", size=17),
    ]
    for number, part in enumerate(architecture.networks):
        left = GAP + number * (BOX_WIDTH + 2 * GAP)
        pieces.append(
            _text(left, TOP_MARGIN, f"{part.name}: {part.parameters:,} parameters", size=15)
        )
        for row, layer in enumerate(part.layers):
            pieces.append(_box(left, TOP_MARGIN + 14 + row * (BOX_HEIGHT + GAP), layer))
    return "".join([*pieces, "</svg>"])


def _box(left: int, top: int, layer: LayerView) -> str:
    shapes = ", ".join(f"{n} {_by(shape)}" for n, shape in layer.weights.items())
    second = f"{layer.parameters:,}" if layer.parameters else "no parameters"
    if layer.output is not None:
        second += f"  →  {_by(layer.output)}"
    fill = "#e8f0fe" if layer.parameters else "#f4f4f4"
    return (
        f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="4" '
        f'fill="{fill}" stroke="#888"><title>{escape(shapes)}</title></rect>'
        + _text(left + 8, top + 18, f"{layer.name}  {layer.kind}")
        + _text(left + 8, top + 36, second)
    )


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _text(x: int, y: int, text: str, *, size: int = 13) -> str:
    shown = text if len(text) <= MAX_LINE_CHARS + 10 else text[: MAX_LINE_CHARS + 9] + "…"
    return f'<text x="{x}" y="{y}" font-size="{size}">{escape(shown)}</text>'
