"""Which rows a request names: for each, its number k and what it has to meet.

As with images, what is drawn for number k depends on (seed, k) alone; with labels and conditions, k
runs from `offset` within each of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Where = Mapping[str, Any]
"""By column: a value, a list of values, or {"gte": …, "gt": …, "lte": …, "lt": …}."""


@dataclass(frozen=True)
class RowIndexRange:
    """Numbers `start` to `stop` (exclusive). Number k meets `wheres[k mod len(wheres)]`."""

    conditions: tuple[Where, ...]
    start: int
    stop: int

    def iter_chunks(self, size: int) -> Iterator[NDArray[np.int64]]:
        for first in range(self.start, self.stop, size):
            yield np.arange(first, min(first + size, self.stop), dtype=np.int64)


@dataclass(frozen=True)
class RowSamplingPlan:
    ranges: tuple[RowIndexRange, ...]
    seed: int
    exclude_training_rows: bool = False  # of rows that were learned from
    partial_rows: tuple[
        Mapping[str, Any], ...
    ] = ()  # the rows, one after the other, to be completed

    @property
    def count(self) -> int:
        return sum(part.stop - part.start for part in self.ranges)

    def slice(self, start: int, stop: int) -> "RowSamplingPlan":
        """The rows at these places of the order, `stop` excluded."""
        parts = []
        for part in self.ranges:
            n = part.stop - part.start
            first, last = max(0, start), min(n, stop)
            if first < last:
                parts.append(RowIndexRange(part.conditions, part.start + first, part.start + last))
            start, stop = start - n, stop - n
        return RowSamplingPlan(tuple(parts), self.seed)


def plan_per_condition(
    counts: Sequence[tuple[Where, int]], *, seed: int, offset: int
) -> RowSamplingPlan:
    """So many of each, one after the other."""
    return RowSamplingPlan(
        tuple(RowIndexRange((w,), offset, offset + n) for w, n in counts if n), seed
    )


def plan_partial_rows(
    partial_rows: Sequence[Mapping[str, Any]], *, seed: int, offset: int
) -> RowSamplingPlan:
    part = RowIndexRange(({},), offset, offset + len(partial_rows))
    return RowSamplingPlan((part,), seed, partial_rows=tuple(partial_rows))


def plan_total(
    count: int, conditions: Sequence[Where], *, seed: int, offset: int
) -> RowSamplingPlan:
    """So many in all; what they meet takes turns."""
    return RowSamplingPlan((RowIndexRange(tuple(conditions), offset, offset + count),), seed)


def apportion(count: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers in these shares of `count`, by the largest remainder; what the shares leave
    over, if they do, is the last one more."""
    wanted = [count * share for share in [*fractions, max(0.0, 1 - sum(fractions))]]
    counts = [int(n) for n in wanted]
    by_remainder = sorted(range(len(wanted)), key=lambda i: (counts[i] - wanted[i], i))
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    return counts
