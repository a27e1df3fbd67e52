"""Endings of numbers: how often the values of a column end in .99, at full hours or on weekdays.

The values of a bin are uniform between training values, which would lose the endings. So a column
whose endings are far from uniform is stretched: each ending takes up a share of its period in
proportion to its frequency. The stretched numbers, called slots, are uniform within a period.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

SLOTS_PER_NUMBER = 64  # on average; rarer endings take up fewer slots, but at least two
MIN_PERIODS = 10  # that hold the middle 90 % of the values
MIN_GAIN_BITS = 0.02  # per value, relative to uniform endings
MIN_ROWS_PER_ENDING = 20  # on average; otherwise an ending that no row has is possible
MAX_SLOT = 2**52  # slots are exact as floats
MAX_NUMBER = 2**56  # whose slot is an int64; larger numbers are beyond all training values


@dataclass(frozen=True)
class Endings:
    """The endings of integers that differ by a multiple of `period`.

    Those from `starts` (E,) on, `width` integers each, occur equally often. A group takes up the
    slots from `first_slots` (E,) to the next, and the last one those up to `slots`. The ending of a
    number is its remainder after `phase` is added to it.
    """

    period: int
    width: int
    phase: int
    slots: int
    starts: Integers
    first_slots: Integers

    @classmethod
    def fit(
        cls, numbers: Integers, repeated: Integers, candidates: Iterable[tuple[int, int, int]]
    ) -> Self | None:
        """Return the endings that save most bits, of `candidates` (period, width, phase).

        Those of `repeated` numbers have slots, too, so that these numbers remain. None if no
        endings save enough by the Bayesian information criterion.
        """
        if not len(numbers):
            return None
        low, high = np.quantile(numbers, [0.05, 0.95])
        # A number of the same period as the lowest one must not get a slot out of range.
        magnitude = int(np.abs(numbers).max()) * SLOTS_PER_NUMBER * 4
        best, best_gain = None, MIN_GAIN_BITS * len(numbers)
        for period, width, phase in candidates:
            groups = period // width
            if groups < 2 or high - low < MIN_PERIODS * period or magnitude > MAX_SLOT:
                continue
            counts = np.bincount((numbers + phase) % period // width, minlength=groups)
            present = counts[counts > 0]
            gain = float((present * np.log2(present * groups / len(numbers))).sum())
            gain -= 0.5 * (groups - 1) * math.log2(len(numbers))
            if gain > best_gain:
                groups_of_repeated = (repeated + phase) % period // width
                best = cls._from_counts(counts, groups_of_repeated, period, width, phase)
                best_gain = gain
        return best

    @classmethod
    def _from_counts(
        cls, counts: Integers, repeated: Integers, period: int, width: int, phase: int
    ) -> Self:
        weights = counts.astype(np.float64)
        if len(counts[counts > 0]) * MIN_ROWS_PER_ENDING > counts.sum():
            weights += 0.5
        starts = np.union1d(np.flatnonzero(weights), repeated)
        shares = weights[starts] / weights.sum()
        sizes = np.maximum(np.rint(shares * SLOTS_PER_NUMBER * period), 2 * width).astype(np.int64)
        ends = np.cumsum(sizes)
        return cls(period, width, phase, int(ends[-1]), starts * width, ends - sizes)

    def to_slots(self, numbers: Integers) -> Integers:
        """Return the slot in the middle of those of each number.

        An ending that no training row has is treated as the one before it.
        """
        numbers = np.clip(numbers, -MAX_NUMBER, MAX_NUMBER)
        period, ending = np.divmod(numbers + self.phase, self.period)
        group = np.maximum(np.searchsorted(self.starts, ending, side="right") - 1, 0)
        inside = np.clip(ending - self.starts[group], 0, self.width - 1)
        slot = (2 * inside + 1) * self._sizes[group] // (2 * self.width)
        return np.asarray(period * self.slots + self.first_slots[group] + slot)

    def from_slots(self, slots: Integers) -> Integers:
        """Return the number of each slot."""
        period, slot = np.divmod(slots, self.slots)
        group = np.searchsorted(self.first_slots, slot, side="right") - 1
        inside = (slot - self.first_slots[group]) * self.width // self._sizes[group]
        return np.asarray(period * self.period + self.starts[group] + inside - self.phase)

    @property
    def _sizes(self) -> Integers:
        return np.diff(self.first_slots, append=self.slots)

    def to_json(self) -> dict[str, Any]:
        return {
            "period": self.period,
            "width": self.width,
            "phase": self.phase,
            "slots": self.slots,
            "starts": self.starts.tolist(),
            "first_slots": self.first_slots.tolist(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        arrays = {name: np.array(values[name], np.int64) for name in ("starts", "first_slots")}
        return cls(**{**values, **arrays})
