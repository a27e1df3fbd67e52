"""Round numbers: those whose last digits are far more frequent than others, such as 00 or 99.

Ratios to other numbers would lose them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.endings import Endings, Integers
from models.tabular.numbers.scale import DIGIT_PERIODS

MIN_LIFT = 2.0  # of the frequency of an ending, relative to uniform ones
MAX_ENDING_BITS = 0.1  # per number, that uneven endings of the others may save
MIN_DEVIATIONS = 3.0  # above that, in standard deviations of a uniform ending


@dataclass(frozen=True)
class RoundNumbers:
    """Numbers whose remainder of the division by `period` is one of `endings`."""

    period: int
    endings: tuple[int, ...]

    @classmethod
    def fit(cls, numbers: Integers) -> Self | None:
        """Fit the frequent endings of (N,) integers; None if all endings are about as frequent."""
        endings = Endings.fit(numbers, numbers[:0], ((period, 1, 0) for period in DIGIT_PERIODS))
        if endings is None:
            return None
        counts = np.bincount(numbers % endings.period, minlength=endings.period)
        uniform = len(numbers) / endings.period
        threshold = MIN_LIFT * uniform + MIN_DEVIATIONS * uniform**0.5
        return cls(endings.period, tuple(np.flatnonzero(counts > threshold).tolist()))

    def contains(self, numbers: Floats) -> NDArray[np.bool_]:
        """Return the (N,) mask of round numbers; NaN is none of them."""
        remainders = np.mod(np.nan_to_num(numbers), self.period)
        return np.isin(remainders, self.endings) & np.isfinite(numbers)

    @staticmethod
    def are_even(numbers: Integers) -> bool:
        """Return True if all endings of (N,) integers are about as frequent."""
        gains = [0.0]
        for period in DIGIT_PERIODS:
            counts = np.bincount(numbers % period, minlength=period)
            present = counts[counts > 0]
            gain = float((present * np.log2(present * period / len(numbers))).sum())
            gains.append(gain - 0.5 * (period - 1) * math.log2(max(len(numbers), 1)))
        return max(gains) <= MAX_ENDING_BITS * len(numbers)

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        return cls(packed["period"], tuple(packed["endings"]))
