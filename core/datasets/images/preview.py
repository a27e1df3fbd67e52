"""preview.png: a row of training images for each label, the label's name at the left."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.datasets.errors import printable
from core.datasets.images.labels import UNLABELED
from core.datasets.images.npy_store import StoredImages

MAX_ROWS = 20
COLUMNS = 10

_CELL = 64  # pixels; smaller images are enlarged by whole numbers up to this
_GAP = 4
_TEXT_SIZE = 16
_TEXT_WIDTH = 200
_PAPER, _INK = (255, 255, 255), (32, 32, 32)


def draw_preview(
    images: StoredImages, y: NDArray[np.int32], class_names: Sequence[str], *, path: Path
) -> None:
    """`y` is that of the training images alone. Unlabelled images fill rows without a name."""
    rows = _rows(y, class_names)
    height, width = images.shape[1:3]
    zoom = max(1, _CELL // max(height, width))
    font = ImageFont.load_default(_TEXT_SIZE)
    texts = [_fitting(name, font) for name, _ in rows]
    left = max((int(font.getlength(text)) + 3 * _GAP for text in texts if text), default=_GAP)
    down, across = height * zoom + _GAP, width * zoom + _GAP
    sheet = Image.new("RGB", (left + COLUMNS * across, len(rows) * down + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (text, (_, places)) in enumerate(zip(texts, rows, strict=True)):
        top = _GAP + row * down
        middle = top + height * zoom / 2
        draw.text((2 * _GAP, middle), text, fill=_INK, font=font, anchor="lm")
        for column, image in enumerate(images.iter_images(places)):
            cell = Image.fromarray(image)
            enlarged = cell.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left + column * across, top))
    sheet.save(path)


def _rows(y: NDArray[np.int32], class_names: Sequence[str]) -> list[tuple[str, NDArray[np.int64]]]:
    """The first labels that have images, each with some of its images, evenly spread."""
    rows: list[tuple[str, NDArray[np.int64]]] = []
    for code, name in enumerate(class_names):
        if len(rows) < MAX_ROWS and len(members := np.flatnonzero(y == code)):
            rows.append((name, _spread(members, COLUMNS)))
    unlabelled = _spread(
        np.flatnonzero(y == UNLABELED), COLUMNS * min(COLUMNS, MAX_ROWS - len(rows))
    )
    rows += [("", unlabelled[i : i + COLUMNS]) for i in range(0, len(unlabelled), COLUMNS)]
    return rows


def _spread(places: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(places) <= most:
        return places
    return places[np.linspace(0, len(places) - 1, most).astype(np.int64)] if most else places[:0]


def _fitting(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    text = printable(name)
    while text and font.getlength(text) > _TEXT_WIDTH:
        text = f"{text[:-2]}…" if text.endswith("…") else f"{text[:-1]}…"
    return text
