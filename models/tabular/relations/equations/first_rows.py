"""The first screened rows of many numbers at once, which rule out most linear functions cheaply."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.tabular.categorical_columns import Floats
from models.tabular.relations.screened_numbers import FIRST_ROWS, ScreenedNumber

MIN_COMPARED = 3  # rows; two are on a line in any case
PRECISION = 1e-9  # of sums of squares


@dataclass(frozen=True, eq=False)
class FirstRows:
    """The (C, R) first rows of numbers, less their mean, 0 where missing, and their tolerances."""

    numbers: tuple[ScreenedNumber, ...]
    values: Floats
    has_value: Floats
    tolerances: Floats  # (C,)

    @classmethod
    def of(cls, numbers: Sequence[ScreenedNumber]) -> Self:
        rows = np.array([number.values[:FIRST_ROWS] for number in numbers], np.float64, ndmin=2)
        has_value = np.isfinite(rows)
        counts = np.maximum(has_value.sum(1, keepdims=True), 1)
        with np.errstate(all="ignore"):  # infinite numbers are in no line
            mean = np.where(has_value, rows, 0.0).sum(1, keepdims=True) / counts
            values = np.where(has_value, rows - mean, 0.0)
        tolerances = np.array([number.tolerance for number in numbers])
        return cls(tuple(numbers), values, has_value.astype(np.float64), tolerances)

    def linear_in(self, source: Floats) -> list[ScreenedNumber]:
        """Return the numbers that may be a linear function of (N,) values, up to rounding.

        The mean square of what a line leaves is at most that of the tolerance.
        """
        x = source[:FIRST_ROWS]
        has_x = np.isfinite(x)
        if has_x.sum() < MIN_COMPARED:
            return list(self.numbers)
        with np.errstate(all="ignore"):
            x = np.where(has_x, x - x[has_x].mean(), 0.0)
            both, y = self.has_value * has_x, self.values * has_x
            n, sx, sxx = both.sum(1), both @ x, both @ (x * x)
            sy, sxy, syy = y.sum(1), y @ x, (y * y).sum(1)
            varied = sxx - sx**2 / n
            rest = syy - sy**2 / n - (sxy - sx * sy / n) ** 2 / varied
            allowed = n * self.tolerances**2 * (1 + PRECISION) + PRECISION * (syy + sy**2)
            is_excluded = (rest > allowed) & (n >= MIN_COMPARED) & (varied > PRECISION * sxx)
        return [self.numbers[i] for i in np.flatnonzero(~is_excluded)]
