"""SVG diagram of the networks of a model: one column per network, one box per layer."""

from collections.abc import Sequence

from markupsafe import Markup

from app.pages.svg_element import element
from app.schemas.models import Architecture, LayerView

BOX_WIDTH, BOX_HEIGHT, GAP, TOP_MARGIN = 460, 44, 10, 60
MAX_LINE_CHARS = 60  # of a longer text, the first 59 characters and an ellipsis are shown


def render_svg(architecture: Architecture, title: str) -> str:
    rows = max((len(network.layers) for network in architecture.networks), default=0)
    width = len(architecture.networks) * (BOX_WIDTH + 2 * GAP)
    height = TOP_MARGIN + 30 + rows * (BOX_HEIGHT + GAP)
    shapes = [
        element("rect", width=width, height=height, fill="#fff"),
        _text(GAP, 24, f"{title}: {architecture.parameters:,} parameters", size=17),
    ]
    for column, network in enumerate(architecture.networks):
        left = GAP + column * (BOX_WIDTH + 2 * GAP)
        heading = f"{network.name}: {network.parameters:,} parameters"
        shapes.append(_text(left, TOP_MARGIN, heading, size=15))
        for row, layer in enumerate(network.layers):
            shapes += _box(left, TOP_MARGIN + 14 + row * (BOX_HEIGHT + GAP), layer)
    return element(
        "svg",
        *shapes,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        font_family="sans-serif",
        font_size=13,
    )


def _box(left: int, top: int, layer: LayerView) -> list[Markup]:
    weight_shapes = ", ".join(
        f"{name} {_format_shape(shape)}" for name, shape in layer.weights.items()
    )
    details = f"{layer.parameters:,} parameters" if layer.parameters else "no parameters"
    if layer.output is not None:
        details += f"  →  {_format_shape(layer.output)}"
    box = element(
        "rect",
        element("title", weight_shapes),
        x=left,
        y=top,
        width=BOX_WIDTH,
        height=BOX_HEIGHT,
        rx=4,
        fill="#e8f0fe" if layer.parameters else "#f4f4f4",
        stroke="#888",
    )
    return [
        box,
        _text(left + 8, top + 18, f"{layer.name}  {layer.kind}"),
        _text(left + 8, top + 36, details),
    ]


def _format_shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _text(x: int, y: int, text: str, *, size: int = 13) -> Markup:
    shown = text if len(text) <= MAX_LINE_CHARS else text[: MAX_LINE_CHARS - 1] + "…"
    return element("text", shown, x=x, y=y, font_size=size)
