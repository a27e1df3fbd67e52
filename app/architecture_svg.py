"""SVG diagram of the networks of a model: one column per network, one box per layer."""

from collections.abc import Sequence
from html import escape

from app.schemas.models import Architecture, LayerView

BOX_WIDTH, BOX_HEIGHT, GAP, TOP_MARGIN = 460, 44, 10, 60
MAX_LINE_CHARS = 60  # of a longer text, the first 59 characters and an ellipsis are shown


def render_svg(architecture: Architecture, title: str) -> str:
    rows = max((len(network.layers) for network in architecture.networks), default=0)
    width = len(architecture.networks) * (BOX_WIDTH + 2 * GAP)
    height = TOP_MARGIN + 30 + rows * (BOX_HEIGHT + GAP)
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(GAP, 24, f"{title}: {architecture.parameters:,} parameters", size=17),
    ]
    for column, network in enumerate(architecture.networks):
        left = GAP + column * (BOX_WIDTH + 2 * GAP)
        heading = f"{network.name}: {network.parameters:,} parameters"
        pieces.append(_text(left, TOP_MARGIN, heading, size=15))
        for row, layer in enumerate(network.layers):
            pieces.append(_box(left, TOP_MARGIN + 14 + row * (BOX_HEIGHT + GAP), layer))
    return "".join([*pieces, "</svg>"])


def _box(left: int, top: int, layer: LayerView) -> str:
    weight_shapes = ", ".join(
        f"{name} {_format_shape(shape)}" for name, shape in layer.weights.items()
    )
    details = f"{layer.parameters:,} parameters" if layer.parameters else "no parameters"
    if layer.output is not None:
        details += f"  →  {_format_shape(layer.output)}"
    fill = "#e8f0fe" if layer.parameters else "#f4f4f4"
    return (
        f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="4" '
        f'fill="{fill}" stroke="#888"><title>{escape(weight_shapes)}</title></rect>'
        + _text(left + 8, top + 18, f"{layer.name}  {layer.kind}")
        + _text(left + 8, top + 36, details)
    )


def _format_shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _text(x: int, y: int, text: str, *, size: int = 13) -> str:
    shown = text if len(text) <= MAX_LINE_CHARS else text[: MAX_LINE_CHARS - 1] + "…"
    return f'<text x="{x}" y="{y}" font-size="{size}">{escape(shown)}</text>'
