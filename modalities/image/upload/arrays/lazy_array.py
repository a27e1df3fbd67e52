"""Array stored in a file that is read in blocks, so that memory stays bounded."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.archive import Reader, read_up_to
from modalities.image.upload.arrays.npy_store import BLOCK_BYTES
from modalities.image.upload.value_range import ValueRange

Block = NDArray[Any]


@dataclass(frozen=True)
class LazyArray:
    """Header of an array, and a function that opens its values."""

    name: str  # the client's name: "x_train", "train-images-idx3-ubyte.gz"
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    open: Callable[[], AbstractContextManager[Reader]]  # at the first value, in C order

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def item_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=object)) * self.dtype.itemsize

    def check_limits(self, limits: Limits) -> None:
        """Raise DatasetUnreadable if the size in the header exceeds a limit. Reads no values."""
        if not self.shape or min(self.shape) < 1 or not self.dtype.itemsize:
            raise self.make_error("is empty")
        if self.item_bytes > limits.archive_entry_bytes:
            raise self.make_error(
                f"has items that are too large; the maximum is {limits.archive_entry_bytes:,} bytes"
            )
        if len(self) > limits.images_max:
            raise self.make_error(
                f"holds too many items; the maximum is {limits.images_max:,}", "too_many_images"
            )
        if len(self) * self.item_bytes > limits.archive_bytes:
            raise self.make_error(
                f"is too large; the maximum is {limits.archive_bytes:,} bytes", "archive_bomb"
            )

    def blocks(self) -> Iterator[Block]:
        """Yield (n, …) blocks of items in order.

        Raises DatasetUnreadable if the stream holds fewer or more values than the header declares.
        """
        rows = max(1, BLOCK_BYTES // self.item_bytes)
        with self.open() as values:
            for start in range(0, len(self), rows):
                n = min(rows, len(self) - start)
                content = read_up_to(values, n * self.item_bytes)
                if len(content) < n * self.item_bytes:
                    raise self.make_error("holds fewer values than its header declares")
                self._check_text(content)
                yield np.frombuffer(content, self.dtype).reshape(n, *self.shape[1:])
            if values.read(1):
                raise self.make_error("holds more values than its header declares")

    def _check_text(self, content: bytes) -> None:
        """Reject numbers that are not code points before numpy converts them to strings."""
        if self.dtype.kind == "U":
            code_points = np.frombuffer(content, np.dtype("u4").newbyteorder(self.dtype.byteorder))
            if code_points.max() > sys.maxunicode:
                raise self.make_error("holds text that is not valid Unicode")

    def make_error(self, problem: str, code: str = "arrays_invalid") -> DatasetUnreadable:
        """Create an error. `problem` is a predicate without a period; the name is its subject."""
        return unreadable_error(
            code, f"{printable(self.name)} {problem}.", pointer=file_pointer(self.name)
        )


class ArraySplit(NamedTuple):
    images: LazyArray
    labels: LazyArray | None
    is_test: bool


def pixel_range(arrays: Sequence[LazyArray]) -> ValueRange | None:
    """Return the range of the pixels of all arrays, None if all are uint8 already.

    Raises DatasetUnreadable if an array does not hold finite numbers.
    """
    if all(array.dtype == np.uint8 for array in arrays):
        return None
    value_range = ValueRange()
    for array in arrays:
        if array.dtype.kind not in "biuf":
            raise array.make_error("does not hold numbers; images must be uint8")
        for block in array.blocks():
            try:
                value_range.include(block)
            except ValueError as error:
                raise array.make_error("holds values that are not finite numbers") from error
    return value_range
