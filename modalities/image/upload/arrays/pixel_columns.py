"""Recognition of tables of pixels by their first lines.

`label,pixel0,pixel1,…` is the form of the digits of Kaggle; `emotion,pixels,Usage`, with all pixels
in one field, that of FER-2013.
"""

import csv
import math
import re
from typing import NamedTuple

from core.datasets.stream import Reader
from core.limits import MIB

MIN_PIXELS = 64
_MIN_UNNAMED = 256  # numbers in a row are pixels if their columns do not have names such as pixel0
_PIXEL_NAME = re.compile(r"(pixel|px|pix)[ _.-]*\d+([x_.]\d+)*|\d+x\d+", re.IGNORECASE)
_NUMBERED = re.compile(r"(?P<stem>\D*|0\.)\d+")
_NUMBER = re.compile(r"\d{1,3}(\.\d+)?")
_ID_NAMES = frozenset({"id", "index", "imageid", "image_id", "filename", "", "unnamed: 0"})
_HEAD_BYTES = MIB  # a header of 50,000 columns


class PixelColumns(NamedTuple):
    """Columns of a table of pixels."""

    delimiter: str
    header: list[str] | None
    label: int | None
    pixels: list[int]  # the one column of a table whose fields hold all pixels
    split: int | None = None

    @property
    def in_one_field(self) -> bool:
        return len(self.pixels) == 1


def find_pixel_columns(head: bytes) -> PixelColumns | None:
    """Return the columns if `head`, the first bytes of a file, starts a table of pixels.

    A header may be cut off.
    """
    lines = [line for line in head.decode("utf-8-sig", errors="replace").splitlines() if line]
    if not lines:
        return None
    delimiter = max(",;\t", key=lines[0].count)
    fields = [field.strip().strip('"') for field in lines[0].split(delimiter)]
    if one_field := _find_pixel_field(fields, lines, delimiter):
        return one_field
    if len(fields) < MIN_PIXELS:
        return None
    is_cut_off = len(lines) == 1
    if all(_NUMBER.fullmatch(field) for field in fields[:-1]) and not _is_numbered(fields):
        if len(fields) < _MIN_UNNAMED or is_cut_off:
            return None
        # Without a header, the label is the first column, as in the digits of MNIST as CSV.
        first = int(not _is_image_size(len(fields)))
        return PixelColumns(delimiter, None, 0 if first else None, [*range(first, len(fields))])
    pixels = [i for i, name in enumerate(fields) if _PIXEL_NAME.fullmatch(name)]
    if not pixels:
        pixels = _numbered_columns(fields)
    others = [i for i in range(len(fields)) if i not in set(pixels)]
    if len(others) - is_cut_off > 2 or len(pixels) < MIN_PIXELS:
        return None
    labels = [i for i in others if fields[i].lower() not in _ID_NAMES]
    return PixelColumns(delimiter, fields, labels[0] if labels else None, pixels)


def _is_numbered(fields: list[str]) -> bool:
    """Return True for `0,0.1,0.2,…`, the names that pandas gives to columns of equal names."""
    return fields[0].isdecimal() and all(
        field == f"{fields[0]}.{i}" for i, field in enumerate(fields[1:-1], 1)
    )


def _numbered_columns(fields: list[str]) -> list[int]:
    """Return the columns whose names are numbers, or one text and a number: `0.1`, `px_12`."""
    stems: dict[str, list[int]] = {}
    for i, name in enumerate(fields):
        if match := _NUMBERED.fullmatch(name):
            stems.setdefault(match["stem"], []).append(i)
    largest = max(stems.values(), key=len, default=[])
    return largest if len(largest) >= _MIN_UNNAMED else []


def _find_pixel_field(fields: list[str], lines: list[str], delimiter: str) -> PixelColumns | None:
    names = [field.lower() for field in fields]
    if "pixels" not in names or len(lines) < 2:
        return None
    pixels = names.index("pixels")
    row = next(csv.reader([lines[1]], delimiter=delimiter), [])
    values = row[pixels].split() if len(row) > pixels else []
    if len(values) < MIN_PIXELS or not all(map(_NUMBER.fullmatch, values[:-1])):
        return None
    split = next((i for i, name in enumerate(names) if name in {"usage", "split", "set"}), None)
    others = [i for i in range(len(names)) if i not in {pixels, split}]
    return PixelColumns(delimiter, fields, others[0] if others else None, [pixels], split)


def _is_image_size(count: int) -> bool:
    return math.isqrt(count) ** 2 == count or (
        count % 3 == 0 and math.isqrt(count // 3) ** 2 == count // 3
    )


def read_head(reader: Reader) -> bytes:
    """Return the first lines, at most _HEAD_BYTES."""
    head = b""
    while len(head) < _HEAD_BYTES and head.count(b"\n") < 2 and (chunk := reader.read(65_536)):
        head += chunk
    return head
