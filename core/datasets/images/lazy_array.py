"""An array in a file, read in blocks and never whole."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.images.archive import Reader, read_up_to
from core.datasets.images.npy_store import BLOCK_BYTES
from core.errors import DatasetUnreadable
from core.settings import Limits

Block = NDArray[Any]

_NEAR = 1e-3  # how far from a whole number a float may be and still mean it


@dataclass(frozen=True)
class LazyArray:
    """`open` gives the values from the first on, in C order; each call begins anew."""

    name: str  # as the client knows it: "x_train", "train-images-idx3-ubyte.gz"
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    open: Callable[[], AbstractContextManager[Reader]]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def item_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=object)) * self.dtype.itemsize

    def check_limits(self, limits: Limits) -> None:
        """Hold what the header announces to the limits, before anything is read."""
        if not self.shape or min(self.shape) < 1 or not self.dtype.itemsize:
            raise self.make_error("is empty")
        if self.item_bytes > limits.archive_entry_bytes:
            raise self.make_error(f"has items of more than {limits.archive_entry_bytes:,} bytes")
        if len(self) > limits.images_max:
            raise self.make_error(f"holds more than {limits.images_max:,} items", "too_many_images")
        if len(self) * self.item_bytes > limits.archive_bytes:
            raise self.make_error(f"holds more than {limits.archive_bytes:,} bytes", "archive_bomb")

    def blocks(self) -> Iterator[Block]:
        """Rows in order, some at a time. Raises when the stream holds fewer or more."""
        rows = max(1, BLOCK_BYTES // self.item_bytes)
        with self.open() as values:
            for start in range(0, len(self), rows):
                wanted = min(rows, len(self) - start)
                content = read_up_to(values, wanted * self.item_bytes)
                if len(content) < wanted * self.item_bytes:
                    raise self.make_error("ends before the last value that its header announces")
                self._refuse_bad_text(content)
                yield np.frombuffer(content, self.dtype).reshape(wanted, *self.shape[1:])
            if values.read(1):
                raise self.make_error("holds more values than its header announces")

    def _refuse_bad_text(self, content: bytes) -> None:
        """Before numpy makes strings of numbers that are no characters."""
        if self.dtype.kind == "U":
            characters = np.frombuffer(content, np.dtype("u4").newbyteorder(self.dtype.byteorder))
            if characters.max() > sys.maxunicode:
                raise self.make_error("holds text that is not valid")

    def make_error(self, problem: str, code: str = "arrays_invalid") -> DatasetUnreadable:
        return unreadable_error(
            code, f"{printable(self.name)} {problem}", pointer=file_pointer(self.name)
        )


class ArraySplit(NamedTuple):
    images: LazyArray
    labels: LazyArray | None
    is_test: bool


def pixel_scale(arrays: Sequence[LazyArray]) -> int:
    """What makes 0 to 255 of the values: 255 for those from 0 to 1, else 1. Raises for others."""
    unscaled = [array for array in arrays if array.dtype != np.uint8]
    fractions = None
    highest = 0.0
    for array in unscaled:
        if array.dtype.kind not in "biuf":
            raise array.make_error("holds no numbers; images must be uint8")
        for block in array.blocks():
            block = block.astype(np.float32)
            if not (block.min() >= 0 and block.max() <= 255):
                raise array.make_error("holds values outside 0 to 255; scale them and send uint8")
            highest = max(highest, float(block.max()))
            if np.abs(block - np.rint(block)).max() > _NEAR:
                fractions = array
    if fractions is not None and highest > 1:
        raise fractions.make_error(
            "holds fractions above 1; scale the values to 0 to 255, as uint8"
        )
    floats = any(array.dtype.kind in "bf" for array in unscaled)
    return 255 if floats and highest <= 1 else 1
