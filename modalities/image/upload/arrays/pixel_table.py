"""Reader of tables of pixels: a row per image, with a column per pixel and one for the label.

`label,pixel0,pixel1,…` is the form of the digits of Kaggle; `emotion,pixels,Usage`, with all pixels
in one field, that of FER-2013.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.stream import Reader
from core.errors import DatasetUnreadable
from core.limits import MIB, Limits
from modalities.image.upload.arrays.lazy_array import ArraySplit, LazyArray
from modalities.image.upload.arrays.pixel_columns import PixelColumns, find_pixel_columns, read_head
from modalities.image.upload.labels.split_names import role_of_name

Opener = Callable[[], AbstractContextManager[Reader]]

_BLOCK_BYTES = 8 * MIB
_MAX_FIELD = 4 * MIB
_SAMPLE = 100  # images to find the order of the channels


def read_pixel_table(name: str, opener: Opener, limits: Limits, folder: Path) -> list[ArraySplit]:
    """Write the pixels into files in `folder` and return them as arrays, one split per part.

    Raises DatasetUnreadable if a row has other columns than the first.
    """
    with opener() as reader:
        columns = find_pixel_columns(read_head(reader))
    if columns is None:
        raise _invalid(name, "its columns are not pixels")
    parts: dict[bool, _Part] = {}
    role = role_of_name(Path(name).stem)
    with opener() as reader:
        stream = _CountingReader(reader, name, limits)
        rows = (
            _read_fields(stream, columns, name)
            if columns.in_one_field
            else _read_columns(stream, columns, name)
        )
        for pixels, labels, splits in rows:
            for is_test in (False, True):
                chosen = [
                    i
                    for i, split in enumerate(splits)
                    if ((role_of_name(split) if split else role) == "test") is is_test
                ]
                if chosen:
                    part = parts.setdefault(is_test, _Part(folder, name, is_test))
                    part.append(pixels[chosen], [labels[i] for i in chosen])
    has_labels = columns.label is not None
    return [part.to_split(has_labels=has_labels) for _, part in sorted(parts.items())]


class _CountingReader(io.RawIOBase):
    """File object over a Reader, for pyarrow. Raises DatasetUnreadable above the size limit."""

    def __init__(self, reader: Reader, name: str, limits: Limits) -> None:
        self._reader, self._name, self._limits = reader, name, limits
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._reader.read(len(buffer))
        self._position += len(data)
        if self._position > self._limits.archive_bytes:
            raise unreadable_error(
                "archive_bomb",
                f"{printable(self._name)} has more than {self._limits.archive_bytes:,} bytes.",
                pointer=file_pointer(self._name),
            )
        buffer[: len(data)] = data
        return len(data)


class _Part:
    """Rows of one part, written as float32 to a file."""

    def __init__(self, folder: Path, name: str, is_test: bool) -> None:
        self._name, self._is_test = name, is_test
        self._path = folder / f"pixels-{len(list(folder.iterdir()))}.part"
        self._labels: list[str] = []
        self._sample: NDArray[np.float32] | None = None
        self._width = 0

    def append(self, pixels: NDArray[np.float32], labels: list[str]) -> None:
        if self._sample is None:
            self._sample, self._width = pixels[:_SAMPLE], pixels.shape[1]
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(pixels).data)
        self._labels += labels

    def to_split(self, *, has_labels: bool) -> ArraySplit:
        @contextmanager
        def open_pixels() -> Iterator[Reader]:
            with self._path.open("rb") as file:
                yield file

        labels = np.array(self._labels, dtype=np.str_)

        @contextmanager
        def open_labels() -> Iterator[Reader]:
            yield io.BytesIO(labels.tobytes())

        shape = (len(self._labels), *self._image_shape())
        images = LazyArray(self._name, np.dtype("f4"), shape, open_pixels)
        named = LazyArray(self._name, labels.dtype, labels.shape, open_labels)
        return ArraySplit(images, named if has_labels else None, self._is_test)

    def _image_shape(self) -> tuple[int, ...]:
        side = math.isqrt(self._width)
        if side * side == self._width:
            return side, side
        side = math.isqrt(self._width // 3)
        if side * side * 3 != self._width:
            raise _invalid(
                self._name,
                f"it has {self._width:,} pixels per image, which are not a square in gray or RGB",
            )
        assert self._sample is not None  # noqa: S101 - a part has rows
        # Neighboring pixels are alike, so the right order of channels has the smaller steps.
        last, first = (side, side, 3), (3, side, side)
        return min(last, first, key=lambda shape: _steps(self._sample, shape))


def _steps(pixels: NDArray[np.float32] | None, shape: tuple[int, ...]) -> float:
    assert pixels is not None  # noqa: S101
    images = pixels.reshape(-1, *shape)
    rows, columns = (1, 2) if shape[-1] == 3 else (2, 3)
    return float(
        np.abs(np.diff(images, axis=rows)).mean() + np.abs(np.diff(images, axis=columns)).mean()
    )


_Rows = Iterator[tuple[NDArray[np.float32], list[str], list[str]]]


def _read_columns(stream: io.RawIOBase, columns: PixelColumns, name: str) -> _Rows:
    """Yield blocks of pixels (n, pixels), labels and splits."""
    count = len(columns.header or columns.pixels)
    if columns.header is None and columns.label is not None:
        count += 1
    names = [f"f{i}" for i in range(count)]  # names of a header may occur twice
    kinds = {names[i]: pa.float32() for i in columns.pixels}
    wanted = [names[i] for i in columns.pixels]
    if columns.label is not None:
        kinds[names[columns.label]] = pa.string()
    try:
        with arrow_csv.open_csv(
            io.BufferedReader(stream, _BLOCK_BYTES),
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                column_names=names,
                skip_rows=int(columns.header is not None),
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=columns.delimiter),
            convert_options=arrow_csv.ConvertOptions(column_types=kinds),
        ) as batches:
            for batch in batches:
                pixels = np.stack([batch.column(n).to_numpy(False) for n in wanted], axis=1)
                if np.isnan(pixels).any():
                    raise _invalid(name, "a pixel is missing")
                labels = (
                    [""] * len(pixels)
                    if columns.label is None
                    else batch.column(names[columns.label]).to_pylist()
                )
                yield pixels, [label or "" for label in labels], [""] * len(pixels)
    except pa.ArrowException as error:
        raise _invalid(name, "a row has other columns than the first, or is not numbers") from error


def _read_fields(stream: io.RawIOBase, columns: PixelColumns, name: str) -> _Rows:
    """Yield one image at a time from fields such as "70 80 82"."""
    csv.field_size_limit(_MAX_FIELD)
    text = io.TextIOWrapper(io.BufferedReader(stream, _BLOCK_BYTES), "utf-8-sig", newline="")
    lines = csv.reader(text, delimiter=columns.delimiter)
    width = None
    try:
        next(lines)
        for line in filter(None, lines):
            pixels = np.array(line[columns.pixels[0]].split(), np.float32)[None]
            width = width or pixels.shape[1]
            if pixels.shape[1] != width:
                raise _invalid(name, f"line {lines.line_num} has another number of pixels")
            label = "" if columns.label is None else line[columns.label]
            split = "" if columns.split is None else line[columns.split]
            yield pixels, [label], [split]
    except (csv.Error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise _invalid(name, f"line {lines.line_num} is not numbers") from error


def _invalid(name: str, problem: str) -> DatasetUnreadable:
    message = f"{printable(name)} is not a table of images: {problem}."
    return unreadable_error("arrays_invalid", message, pointer=file_pointer(name))
