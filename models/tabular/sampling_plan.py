"""Sampling plans: the indices of the requested rows and the conditions that they satisfy.

Row k depends on (seed, condition, k) alone; its identifiers also on the number of conditions and on
which of them it meets. With labels or conditions, k counts from `offset` for each of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import IdentifiersExhausted
from models.permutation import MAX_SIZE
from models.sampling_plan import IndexRange, slice_ranges

# By column: a value, a list of values, or {"gte": …, "gt": …, "lte": …, "lt": …}.
Where = Mapping[str, Any]


@dataclass(frozen=True)
class RowIndexRange(IndexRange):
    """Indices of rows. Row k meets `conditions[k mod len(conditions)]`.

    Each of the `num_parts` parts of a plan counts its rows from the same index on. Their
    identifiers have different numbers.
    """

    conditions: tuple[Where, ...]
    part: int = 0
    num_parts: int = 1

    def identifier_numbers(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the identifiers of rows.

        Raises:
            IdentifiersExhausted: The numbers are too large.
        """
        if indices.max(initial=0) >= MAX_SIZE // self.num_parts:
            raise IdentifiersExhausted
        return indices * self.num_parts + self.part

    def iter_chunks(self, size: int) -> Iterator[NDArray[np.int64]]:
        for first in range(self.start, self.stop, size):
            yield np.arange(first, min(first + size, self.stop), dtype=np.int64)


@dataclass(frozen=True)
class RowSamplingPlan:
    ranges: tuple[RowIndexRange, ...]
    seed: int
    exclude_training_rows: bool = False
    partial_rows: tuple[Mapping[str, Any], ...] = ()  # to complete, in the order of the indices

    @property
    def count(self) -> int:
        return sum(part.stop - part.start for part in self.ranges)  # `len` has a limit of 64 bits

    def slice(self, start: int, stop: int) -> "RowSamplingPlan":
        """Return the plan of rows `start` to `stop` (exclusive) of all rows of this plan."""
        return replace(
            self,
            ranges=slice_ranges(self.ranges, start, stop),
            partial_rows=self.partial_rows[start:stop],
        )


def plan_per_condition(
    counts: Sequence[tuple[Where, int]], *, seed: int, offset: int, are_labels: bool = False
) -> RowSamplingPlan:
    """Plan the given number of rows for each condition, one condition after the other.

    Where the conditions are different labels, these are part of the numbers of identifiers anyway,
    and row k of a label is the same whatever other labels are requested.
    """
    num_parts = 1 if are_labels else len(counts)
    return RowSamplingPlan(
        tuple(
            RowIndexRange(offset, offset + count, (condition,), part % num_parts, num_parts)
            for part, (condition, count) in enumerate(counts)
            if count
        ),
        seed,
    )


def plan_partial_rows(
    partial_rows: Sequence[Mapping[str, Any]], *, seed: int, offset: int
) -> RowSamplingPlan:
    index_range = RowIndexRange(offset, offset + len(partial_rows), ({},))
    return RowSamplingPlan((index_range,), seed, partial_rows=tuple(partial_rows))


def plan_total(
    count: int, conditions: Sequence[Where], *, seed: int, offset: int
) -> RowSamplingPlan:
    """Plan `count` rows in total, which meet the conditions in turn."""
    return RowSamplingPlan((RowIndexRange(offset, offset + count, tuple(conditions)),), seed)
