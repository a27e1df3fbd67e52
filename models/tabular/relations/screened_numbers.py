"""Numeric columns of the rows in which relations are looked for, and evidence for a relation."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import rounded_decimals, significant_digits
from models.tabular.relations.rows import array, as_floats, rounding_tolerance

MIN_ROWS = 20  # fewer rows are too little evidence
MIN_EVIDENCE_BITS = 60.0  # that a determined column agrees with another one by chance
MIN_NONZERO_ROWS = 20  # of each term of a sum, or fewer that are rare among the rows
MIN_DISTINCT_VALUES = 10  # of the columns of an equation
MIN_DISTINCT_TIMES = 4  # between two dates, such as 1 to 5 days
MAX_EQUATION_COLUMNS = 16  # numeric columns of which all combinations are tried
MAX_EQUIVALENT_COLUMNS = 8  # of which all pairs are tried; they determine each other
FIRST_ROWS = 64  # of the screened ones rule out most equations
SIGNIFICANT_DIGITS = 12
OFFSET_TOLERANCE = 1e-3  # of half a unit, relative to the unit


@dataclass(frozen=True, eq=False)
class ScreenedNumber:
    """A column of numbers, dates, times or flags of the screened rows; NaN where missing."""

    name: str
    type: pa.DataType
    values: Floats
    decimals: int
    digits: int  # significant ones, to which the numbers were rounded, or 0
    distinct: int
    tolerances: Floats  # by how much a computed value may differ in each row

    @classmethod
    def of(cls, rows: pa.Table, name: str) -> Self:
        values = array(rows, name)
        floats = as_floats(values)
        present = floats[~np.isnan(floats)]
        decimals = rounded_decimals(values)
        digits = significant_digits(present, decimals) if decimals > 0 else 0
        tolerances = rounding_tolerance(floats, decimals, digits)
        distinct = len(np.unique(present))
        return cls(name, values.type, floats, decimals, digits, distinct, tolerances)

    @property
    def unit(self) -> float:
        """Return the unit of the last decimal; 0 if the numbers are not rounded."""
        return 10.0**-self.decimals if self.decimals >= 0 else 0.0

    @cached_property
    def tolerance(self) -> float:
        """Return the largest tolerance; `Relation.holds` checks floats closer."""
        return float(np.nanmax(self.tolerances, initial=0.0))

    @property
    def is_datetime(self) -> bool:
        return bool(pa.types.is_timestamp(self.type) or pa.types.is_date(self.type))

    @property
    def is_time_of_day(self) -> bool:
        return bool(pa.types.is_time(self.type))

    @property
    def is_duration(self) -> bool:
        return bool(pa.types.is_duration(self.type))

    @property
    def is_temporal(self) -> bool:
        return bool(pa.types.is_temporal(self.type))

    @property
    def is_flag(self) -> bool:
        return bool(pa.types.is_boolean(self.type))

    @property
    def is_plain(self) -> bool:
        return not (self.is_temporal or self.is_flag)


def agrees(
    computed: Floats, total: ScreenedNumber, min_distinct: int = MIN_DISTINCT_VALUES
) -> bool:
    """Return True if `total` is `computed`, rounded, in all rows, and too often for chance."""
    for part in (slice(0, FIRST_ROWS), slice(None)):
        difference = np.abs(computed[part] - total.values[part])
        tolerance = total.tolerances[part] if total.decimals >= 0 else total.tolerance
        if (difference > tolerance).any():
            return False
    both = np.isfinite(computed) & np.isfinite(total.values)
    return (
        int(both.sum()) >= MIN_ROWS
        and not _are_two_offsets(computed[both] - total.values[both], total.unit)
        and len(np.unique(total.values[both])) >= min_distinct
        and evidence_bits(total.values[both]) >= MIN_EVIDENCE_BITS
    )


def _are_two_offsets(differences: Floats, unit: float) -> bool:
    """Return True if (N,) differences are half a unit above or below, and nothing in between.

    Rounding leaves smaller ones, too. Instead, the computed numbers and the total have steps of one
    unit and two offsets, such as the hours of two time zones.
    """
    is_half = np.abs(np.abs(differences) - unit / 2) < OFFSET_TOLERANCE * unit
    return bool(is_half.all() and differences.min() < 0 < differences.max())


def evidence_bits(values: NDArray[Any]) -> float:
    """Return -log2 of the probability that independent values agree in all rows with values."""
    _, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    rows = int(counts.sum())
    if rows == 0:
        return 0.0
    agreement = float(((counts / rows) ** 2).sum())
    return -rows * math.log2(agreement)


def is_needed(values: Floats, tolerances: Floats | float = 0.0) -> bool:
    """Return True if a sum with the term (N,) `values` would not hold without it, beyond chance.

    A term that is 0 in most rows is not 0 in just those rows in which the other terms leave a rest.
    """
    num_needed = int((np.abs(values) > tolerances).sum())
    bits = log2_combinations(len(values), num_needed)
    return num_needed >= MIN_NONZERO_ROWS or bits >= MIN_EVIDENCE_BITS


def log2_combinations(total: int, chosen: int) -> float:
    """Return log2 of the number of ways to choose some rows of all."""
    logs = (math.lgamma(n + 1) for n in (total, chosen, total - chosen))
    return (next(logs) - sum(logs)) / math.log(2)


def roundest_between(low: float, high: float, *, with_zero: bool = False) -> float:
    """Return the number of fewest digits from `low` to `high`, or the one in their middle."""
    middle = (low + high) / 2
    candidates = round_numbers(middle, with_zero=with_zero)
    return next((number for number in candidates if low <= number <= high), middle)


def round_numbers(value: float, *, with_zero: bool = False) -> Iterator[float]:
    """Yield `value` with 1, 2, … significant digits, and the ratio of whole numbers near it."""
    if with_zero:
        yield 0.0
    if value == 0 or not math.isfinite(value):
        return
    for digits in range(1, SIGNIFICANT_DIGITS + 1):
        yield float(f"{value:.{digits - 1}e}")
        inverse = float(f"{1 / value:.{digits - 1}e}")
        if inverse != 0:
            yield 1 / inverse
