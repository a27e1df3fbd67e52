"""Turns: the order in which requests use the processor, and batches that they share."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


class BatchSource(Protocol):
    """Generator of items in batches of a fixed size, which requests can share.

    An item depends only on its own values of the columns, not on the others in its batch.
    """

    @property
    def batch_size(self) -> int: ...

    def generate(self, *columns: "NDArray[Any]") -> "NDArray[Any]":
        """Generate one item for each position of the columns, at most `batch_size`."""


class PendingItems(Protocol):
    def result(self) -> "NDArray[Any]":
        """Wait for the items and return them."""


class Turns(Protocol):
    """Access of one request to the processor. Its methods raise if the client disconnects."""

    def take(self) -> AbstractContextManager[object]:
        """Wait for a turn, and hold it inside the context."""

    def submit(self, source: BatchSource, columns: "Sequence[NDArray[Any]]") -> PendingItems:
        """Generate any number of items, in batches that other requests may share."""


class Unshared:
    """Turns of a caller that shares the processor with no other request, such as a worker."""

    def take(self) -> AbstractContextManager[object]:
        return nullcontext()

    def submit(self, source: BatchSource, columns: "Sequence[NDArray[Any]]") -> PendingItems:
        return _Deferred(source, columns)


@dataclass(frozen=True)
class _Deferred:
    """Items that are generated when their result is needed."""

    source: BatchSource
    columns: "Sequence[NDArray[Any]]"

    def result(self) -> "NDArray[Any]":
        import numpy as np  # slow to load

        size, count = self.source.batch_size, len(self.columns[0])
        return np.concatenate(
            [
                self.source.generate(*(column[start : start + size] for column in self.columns))
                for start in range(0, count, size)
            ]
        )
