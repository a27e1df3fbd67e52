"""Drawing of preview.png: the name of each label, followed by a row of its training images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.datasets.errors import printable
from modalities.image.upload.labels import UNLABELED
from modalities.image.upload.npy_store import StoredImages

MAX_ROWS = 20
COLUMNS = 10

_CELL_SIDE = 64  # pixels; smaller images are enlarged up to this size by an integer factor
_GAP = 4
_FONT_SIZE = 16
_MAX_TEXT_WIDTH = 200
_BACKGROUND, _TEXT_COLOR = (255, 255, 255), (32, 32, 32)


def draw_preview(
    images: StoredImages, y: NDArray[np.int32], class_names: Sequence[str], *, path: Path
) -> None:
    """Draw the preview. `y` holds the labels of the training images only.

    Unlabeled images fill rows without a name.
    """
    rows = _select_rows(y, class_names)
    height, width = images.shape[1:3]
    zoom = max(1, _CELL_SIDE // max(height, width))
    font = ImageFont.load_default(_FONT_SIZE)
    texts = [_shorten(name, font) for name, _ in rows]
    left = max((int(font.getlength(text)) + 3 * _GAP for text in texts if text), default=_GAP)
    row_height, column_width = height * zoom + _GAP, width * zoom + _GAP
    sheet_size = (left + COLUMNS * column_width, len(rows) * row_height + _GAP)
    sheet = Image.new("RGB", sheet_size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for row, (text, (_, indices)) in enumerate(zip(texts, rows, strict=True)):
        top = _GAP + row * row_height
        middle = top + height * zoom / 2
        draw.text((2 * _GAP, middle), text, fill=_TEXT_COLOR, font=font, anchor="lm")
        for column, image in enumerate(images.iter_images(indices)):
            cell = Image.fromarray(image)
            enlarged = cell.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left + column * column_width, top))
    sheet.save(path)


def _select_rows(
    y: NDArray[np.int32], class_names: Sequence[str]
) -> list[tuple[str, NDArray[np.int64]]]:
    """Return the first labels that have images, and evenly spaced indices of their images."""
    rows: list[tuple[str, NDArray[np.int64]]] = []
    for code, name in enumerate(class_names):
        if len(rows) < MAX_ROWS and len(members := np.flatnonzero(y == code)):
            rows.append((name, _evenly_spaced(members, COLUMNS)))
    unlabeled = _evenly_spaced(
        np.flatnonzero(y == UNLABELED), COLUMNS * min(COLUMNS, MAX_ROWS - len(rows))
    )
    rows += [("", unlabeled[i : i + COLUMNS]) for i in range(0, len(unlabeled), COLUMNS)]
    return rows


def _evenly_spaced(indices: NDArray[np.int64], max_items: int) -> NDArray[np.int64]:
    if len(indices) <= max_items:
        return indices
    if not max_items:
        return indices[:0]
    return indices[np.linspace(0, len(indices) - 1, max_items).astype(np.int64)]


def _shorten(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    text = printable(name)
    while text and font.getlength(text) > _MAX_TEXT_WIDTH:
        text = f"{text[:-2]}…" if text.endswith("…") else f"{text[:-1]}…"
    return text
