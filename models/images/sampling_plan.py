"""Which items a request names: for each, its label and its number k.

The noise of item k depends on (seed, k) alone, so a request is only a list of (label, k): with
`labels`, k runs from `offset` within each label; with `count`, k runs from `offset` and its label
is drawn by the same counter-based generator; with `balance` it is label k mod K.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import noise

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ImageIndexRange:
    """Items `start` to `stop` (exclusive) of one label, or, without one, of labels by number."""

    label: int | None
    start: int
    stop: int


@dataclass(frozen=True)
class ImageSamplingPlan:
    ranges: tuple[ImageIndexRange, ...]
    seed: int
    label_weights: tuple[float, ...]  # of each label; empty for a model without labels
    balance_labels: bool

    @property
    def count(self) -> int:
        return sum(run.stop - run.start for run in self.ranges)

    def slice(self, start: int, stop: int) -> "ImageSamplingPlan":
        """The items at these places of the order, `stop` excluded."""
        runs = []
        for run in self.ranges:
            n = run.stop - run.start
            first, last = max(0, start), min(n, stop)
            if first < last:
                runs.append(ImageIndexRange(run.label, run.start + first, run.start + last))
            start, stop = start - n, stop - n
        return ImageSamplingPlan(tuple(runs), self.seed, self.label_weights, self.balance_labels)

    def batches(self, size: int) -> Iterator[tuple[Indices, Indices]]:
        """Labels and numbers of the items, in order, `size` at a time (the last may be shorter).

        Batches run across labels, so that many small counts cost what one large one does.
        """
        labels: list[Indices] = []
        numbers: list[Indices] = []
        waiting = 0
        for run in self.ranges:
            start = run.start
            while start < run.stop:
                stop = min(run.stop, start + size - waiting)
                part = np.arange(start, stop, dtype=np.int64)
                labels.append(self._labels(run, part))
                numbers.append(part)
                waiting += stop - start
                start = stop
                if waiting == size:
                    yield np.concatenate(labels), np.concatenate(numbers)
                    labels, numbers, waiting = [], [], 0
        if waiting:
            yield np.concatenate(labels), np.concatenate(numbers)

    def _labels(self, run: ImageIndexRange, numbers: Indices) -> Indices:
        if run.label is not None:
            return np.full(len(numbers), run.label, np.int64)
        if not self.label_weights:
            return np.zeros(len(numbers), np.int64)
        if self.balance_labels:
            return np.asarray(numbers % len(self.label_weights), np.int64)
        drawn = noise.uniforms(self.seed, numbers, 1, noise.LABEL)[:, 0]
        edges = np.cumsum(self.label_weights)
        index = np.searchsorted(edges, drawn * edges[-1], side="right")
        return np.asarray(np.minimum(index, len(edges) - 1), np.int64)


def plan_by_label(
    counts: Mapping[int, int], *, seed: int, offset: int, label_weights: tuple[float, ...]
) -> ImageSamplingPlan:
    runs = tuple(ImageIndexRange(label, offset, offset + n) for label, n in counts.items() if n)
    return ImageSamplingPlan(runs, seed, label_weights, balance_labels=False)


def plan_by_count(
    count: int, *, seed: int, offset: int, label_weights: tuple[float, ...], balance_labels: bool
) -> ImageSamplingPlan:
    return ImageSamplingPlan(
        (ImageIndexRange(None, offset, offset + count),), seed, label_weights, balance_labels
    )
