"""The quantile function of a numeric column: ranks of values, and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats

MAX_CELLS = 8_192  # of values that are interpolated
MAX_DISCRETE_SUPPORT = 65_536  # of a quantile function that returns training values only
MAX_GAP_RATIO = (
    8.0  # of the gap on one side of a value that is filled, to the gap on its other side
)


@dataclass(frozen=True)
class Quantiles:
    """The quantile function (inverse cumulative distribution) of values, in cells.

    Ranks from one of the `ends` to the next are a cell. Its values are uniform between `lows` and
    `highs`. A gap that is much wider than those next to it is between two cells, not in one.
    """

    lows: NDArray[Any]
    highs: NDArray[Any]
    ends: Floats

    @classmethod
    def fit(cls, ordered: NDArray[Any]) -> "Quantiles":
        distinct, counts = np.unique(ordered, return_counts=True)
        ends = np.cumsum(counts) / max(len(ordered), 1)
        if not cls._is_interpolated(len(distinct), len(ordered)):
            return cls(distinct, distinct.copy(), ends)
        gap = np.diff(distinct.astype(np.float64))
        before = np.concatenate([gap[:1], gap])
        after = np.concatenate([gap, gap[-1:]])
        # A value that occurs several times keeps its share of the rows.
        is_single = counts == 1
        below = np.minimum(before, MAX_GAP_RATIO * after) / 2 * is_single
        above = np.minimum(after, MAX_GAP_RATIO * before) / 2 * is_single
        below[:1] = above[-1:] = 0.0  # no value is beyond the training values
        if distinct.dtype == np.int64:
            below, above = (half.astype(np.int64) for half in (below, above))
        lows, highs = distinct - below, distinct + above
        if len(distinct) > MAX_CELLS:
            edges = np.rint(np.linspace(0, len(distinct), MAX_CELLS + 1)).astype(np.int64)
            lows, highs, ends = lows[edges[:-1]], highs[edges[1:] - 1], ends[edges[1:] - 1]
        return cls(lows, highs, ends)

    @classmethod
    def interpolates(cls, values: NDArray[Any]) -> bool:
        """Return True if the function of `values` returns numbers between them, too."""
        return cls._is_interpolated(len(np.unique(values)), len(values))

    @staticmethod
    def _is_interpolated(distinct: int, values: int) -> bool:
        return distinct > max(1, min(values // 2, MAX_DISCRETE_SUPPORT))

    @classmethod
    def uniform(cls, knots: NDArray[Any]) -> "Quantiles":
        """Return a function that is linear between knots at equal distances of rank."""
        return cls(
            knots[:-1].copy(), knots[1:].copy(), np.arange(1, len(knots)) / max(len(knots) - 1, 1)
        )

    def ranks(self, x: NDArray[Any], rng: np.random.Generator | None) -> Floats:
        """Return the ranks of values, in [0, 1).

        A value that covers an interval of ranks gets one of them, drawn by `rng`, or without it,
        the middle. A value in a gap gets the rank of the gap.
        """
        low = self._ranks_in(np.searchsorted(self.highs, x, side="left"), x)[0]
        high = self._ranks_in(np.searchsorted(self.lows, x, side="right") - 1, x)[1]
        spread = rng.random(len(x)) if rng is not None else 0.5
        return np.clip(low + spread * (high - low), 0.0, 1 - 1e-9)

    def _ranks_in(self, cells: NDArray[np.int64], x: NDArray[Any]) -> tuple[Floats, Floats]:
        """Return the lowest and the highest rank of each value in its cell."""
        cells = np.clip(cells, 0, len(self.ends) - 1)
        unit = 1 if self.lows.dtype == np.int64 else 0
        offset = np.clip(x, self.lows[cells], self.highs[cells]) - self.lows[cells]
        width = (self.highs[cells] - self.lows[cells] + unit).astype(np.float64)
        is_point = width == 0
        width[is_point] = 1.0
        start = self._starts[cells]
        length = self.ends[cells] - start
        return start + offset / width * length, start + (
            (offset + unit) / width + is_point
        ) * length

    def at(self, ranks: Floats) -> NDArray[Any]:
        if not len(self.ends):
            return self.lows[:0]
        cells = np.minimum(np.searchsorted(self.ends, ranks, side="right"), len(self.ends) - 1)
        low, high, start = self.lows[cells], self.highs[cells], self._starts[cells]
        position = np.clip((ranks - start) / (self.ends[cells] - start), 0.0, 1.0)
        if low.dtype != np.int64:
            return low + position * (high - low)
        return np.minimum(low + (position * (high - low + 1)).astype(np.int64), high)

    def is_interpolated(self, ranks: Floats) -> NDArray[np.bool_]:
        """Return the (N,) mask of ranks whose values are between those of the column."""
        cells = np.minimum(np.searchsorted(self.ends, ranks, side="right"), len(self.ends) - 1)
        return np.asarray(self.lows[cells] < self.highs[cells])

    @property
    def _starts(self) -> Floats:
        return np.concatenate([[0.0], self.ends[:-1]])
