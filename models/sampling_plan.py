"""Sampling plan: the label and the index k of each item of a request.

The noise of item k depends on (seed, k) only, so a request is a list of (label, k). With `labels`,
k counts from `offset` within each label. With `count`, k counts from `offset`, and the
counter-based generator draws the label of item k; with `balance_labels`, its label is k mod K,
where K is the number of labels.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models import noise

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class IndexRange:
    """Indices `start` to `stop` (exclusive)."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


Range = TypeVar("Range", bound=IndexRange)


def slice_ranges(ranges: Iterable[Range], start: int, stop: int) -> tuple[Range, ...]:
    """Return the ranges of the items at positions `start` to `stop` (exclusive) of all ranges."""
    sliced = []
    for each in ranges:
        first, last = max(0, start), min(len(each), stop)
        if first < last:
            sliced.append(replace(each, start=each.start + first, stop=each.start + last))
        start, stop = start - len(each), stop - len(each)
    return tuple(sliced)


@dataclass(frozen=True)
class LabelRange(IndexRange):
    """Items of a label. If `label` is None, the index determines the label."""

    label: int | None


@dataclass(frozen=True)
class LabelSamplingPlan:
    ranges: tuple[LabelRange, ...]
    seed: int
    label_weights: tuple[float, ...]  # one per label; empty for a model without labels
    balance_labels: bool

    @property
    def count(self) -> int:
        return sum(part.stop - part.start for part in self.ranges)  # `len` has a limit of 64 bits

    def slice(self, start: int, stop: int) -> "LabelSamplingPlan":
        """Return the plan of the items at positions `start` to `stop` (exclusive) of this plan."""
        return replace(self, ranges=slice_ranges(self.ranges, start, stop))

    def batches(self, size: int) -> Iterator[tuple[Indices, Indices]]:
        """Yield labels and indices of the items in order, `size` at a time.

        The last batch may be shorter. A batch may contain several labels, so that many small counts
        cost as much as one large count.
        """
        labels: list[Indices] = []
        indices: list[Indices] = []
        filled = 0
        for index_range in self.ranges:
            start = index_range.start
            while start < index_range.stop:
                stop = min(index_range.stop, start + size - filled)
                part = np.arange(start, stop, dtype=np.int64)
                labels.append(self._labels(index_range, part))
                indices.append(part)
                filled += stop - start
                start = stop
                if filled == size:
                    yield np.concatenate(labels), np.concatenate(indices)
                    labels, indices, filled = [], [], 0
        if filled:
            yield np.concatenate(labels), np.concatenate(indices)

    def _labels(self, index_range: LabelRange, indices: Indices) -> Indices:
        if index_range.label is not None:
            return np.full(len(indices), index_range.label, np.int64)
        if not self.label_weights:
            return np.zeros(len(indices), np.int64)
        if self.balance_labels:
            return np.asarray(indices % len(self.label_weights), np.int64)
        uniform = noise.uniforms(self.seed, indices, 1, noise.LABEL)[:, 0]
        edges = np.cumsum(self.label_weights)
        index = np.searchsorted(edges, uniform * edges[-1], side="right")
        return np.asarray(np.minimum(index, len(edges) - 1), np.int64)


def plan_by_label(
    counts: Mapping[int, int], *, seed: int, offset: int, label_weights: tuple[float, ...]
) -> LabelSamplingPlan:
    ranges = tuple(LabelRange(offset, offset + n, label) for label, n in counts.items() if n)
    return LabelSamplingPlan(ranges, seed, label_weights, balance_labels=False)


def plan_by_count(
    count: int, *, seed: int, offset: int, label_weights: tuple[float, ...], balance_labels: bool
) -> LabelSamplingPlan:
    return LabelSamplingPlan(
        (LabelRange(offset, offset + count, None),), seed, label_weights, balance_labels
    )
