"""Search for equations between numbers: sums, products, ratios and linear functions."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.discrete_relations import MIN_EVIDENCE_BITS
from models.tabular.number_grid import NumberGrid
from models.tabular.relations import FLOAT_TOLERANCE, ROUNDING, Kind, Relation, array, as_floats

MIN_ROWS = 50  # fewer rows are too little evidence
MIN_NONZERO_ROWS = 20  # of each term of a sum
MIN_DISTINCT_VALUES = 10  # of the columns of an equation
MAX_EQUATION_COLUMNS = 16  # numeric columns in sums, products and ratios
MAX_LINEAR_COLUMNS = 200  # numeric columns in linear functions
MIN_CORRELATION = 0.98  # of the first rows, for pairs of more columns than in other equations
MOST_EXACT: tuple[Kind, ...] = ("sum", "linear", "elapsed")
FIRST_ROWS = 64  # of the screened ones rule out most equations
SIGNIFICANT_DIGITS = 12


@dataclass(frozen=True)
class ScreenedNumber:
    """A numeric column of the screened rows; NaN where missing."""

    name: str
    type: pa.DataType
    values: Floats
    decimals: int
    distinct: int

    @classmethod
    def of(cls, rows: pa.Table, name: str) -> Self:
        values = array(rows, name)
        floats = as_floats(values)
        distinct = len(np.unique(floats[~np.isnan(floats)]))
        return cls(name, values.type, floats, NumberGrid.fit(values).decimals, distinct)

    @property
    def unit(self) -> float:
        return 10.0**-self.decimals

    @property
    def tolerance(self) -> float:
        """Return by how much a computed value may differ; `Relation.holds` checks floats closer."""
        if self.decimals >= 0:
            return ROUNDING * self.unit
        return FLOAT_TOLERANCE * float(np.nanmax(np.abs(self.values), initial=0.0))

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


def find_equations(numbers: list[ScreenedNumber]) -> list[Relation]:
    """Return the equations in the order of their evidence, and only one between the same columns.

    Where each of two columns follows from the other, the one that is not rounded is determined, or
    the one with more values. Among several formulas for it, the one with the fewest digits is
    likely the true one.
    """
    is_rounded = {number.name: number.decimals >= 0 for number in numbers}
    evidence = {number.name: round(evidence_bits(number.values)) for number in numbers}
    best: dict[frozenset[str], Relation] = {}
    with np.errstate(over="ignore", invalid="ignore"):  # infinity equals no value
        equations = list(_equations([number for number in numbers if number.distinct > 1]))
    for relation in sorted(
        equations,
        key=lambda relation: (
            MOST_EXACT.index(relation.kind) if relation.kind in MOST_EXACT else len(MOST_EXACT),
            is_rounded[relation.columns[-1]],
            -evidence[relation.columns[-1]],
            len(repr((relation.factor, relation.offset))),
        ),
    ):
        best.setdefault(frozenset(relation.columns), relation)
    return list(best.values())


def _equations(numbers: list[ScreenedNumber]) -> Iterator[Relation]:
    plain = [number for number in numbers if not number.is_temporal]
    durations = [number for number in numbers if number.is_duration]
    for total, source in _correlated([*plain, *durations][:MAX_LINEAR_COLUMNS]):
        yield from _linear("linear", (source.name,), source.values, total)
    plain, durations = plain[:MAX_EQUATION_COLUMNS], durations[:MAX_EQUATION_COLUMNS]
    yield from _sums(plain)
    yield from _sums(durations)
    for a, b in combinations(plain, 2):
        yield from _scaled("product", (a, b), a.values * b.values, plain)
    for a, b in permutations(plain, 2):
        divisor = np.where(b.values == 0, np.nan, b.values)
        yield from _scaled("ratio", (a, b), a.values / divisor, plain)
    moments = [number for number in numbers if number.is_datetime or number.is_time_of_day]
    for start, end in permutations(moments[:MAX_EQUATION_COLUMNS], 2):
        if start.type == end.type:
            for total in (*plain, *durations):
                difference = end.values - start.values
                yield from _linear("elapsed", (start.name, end.name), difference, total)


def _correlated(
    numbers: list[ScreenedNumber],
) -> Iterator[tuple[ScreenedNumber, ScreenedNumber]]:
    """Yield the pairs (a, b) of which a may be a linear function of b in the first rows.

    Of two equal columns, the later one comes first as a.
    """
    if len(numbers) < 2:
        return
    first_rows = np.stack([number.values[:FIRST_ROWS] for number in numbers])
    with np.errstate(all="ignore"):
        # NaN where values are missing or constant; such pairs are tried.
        correlations = np.atleast_2d(np.corrcoef(first_rows))
    for i, j in permutations(range(len(numbers)), 2):
        # Rounding lowers the correlation of columns of few values.
        if max(i, j) < MAX_EQUATION_COLUMNS or not abs(correlations[i, j]) < MIN_CORRELATION:
            yield numbers[j], numbers[i]


def _sums(numbers: list[ScreenedNumber]) -> Iterator[Relation]:
    terms = [number for number in numbers if _nonzero(number.values) >= MIN_NONZERO_ROWS]
    first_rows = np.stack([n.values[:FIRST_ROWS] for n in numbers]) if numbers else np.empty((0, 1))
    tolerances = np.array([[number.tolerance] for number in numbers])
    for size in (2, 3, 4):
        for chosen in combinations(terms, size):
            computed = np.sum([term.values[:FIRST_ROWS] for term in chosen], axis=0)
            differs = (np.abs(first_rows - computed) > tolerances).any(1)
            for i in np.flatnonzero(~differs):
                total = numbers[i]
                if total not in chosen and _agrees(
                    np.sum([t.values for t in chosen], axis=0), total
                ):
                    yield Relation("sum", (*(term.name for term in chosen), total.name))


def find_rounded_sums(
    numbers: list[ScreenedNumber], excluded: Collection[frozenset[str]]
) -> Iterator[Relation]:
    """Yield sums that rounding has changed, of columns with as many decimals and without gaps.

    Sets of columns in `excluded` have an exact equation.
    """
    plain = [n for n in numbers if not n.is_temporal and n.decimals >= 0 and n.distinct > 1]
    plain = [n for n in plain if not np.isnan(n.values).any()][:MAX_EQUATION_COLUMNS]
    first_rows = np.stack([n.values[:FIRST_ROWS] for n in plain]) if plain else np.empty((0, 1))
    units = np.array([[number.unit] for number in plain])
    for size in (2, 3, 4):
        tolerances = ROUNDING * (size + 1) * units
        for chosen in combinations(plain, size):
            computed = np.sum([term.values[:FIRST_ROWS] for term in chosen], axis=0)
            differs = (np.abs(first_rows - computed) > tolerances).any(1)
            for total in (plain[i] for i in np.flatnonzero(~differs)):
                columns = (*(term.name for term in chosen), total.name)
                is_new = total not in chosen and frozenset(columns) not in excluded
                if is_new and _is_rounded_sum(chosen, total):
                    yield Relation("rounded_sum", columns)


def _is_rounded_sum(terms: Sequence[ScreenedNumber], total: ScreenedNumber) -> bool:
    if any(term.decimals != total.decimals for term in terms):
        return False
    tolerance = ROUNDING * (len(terms) + 1) * total.unit
    computed = np.sum([term.values for term in terms], axis=0)
    if (np.abs(computed - total.values) > tolerance).any():
        return False
    # Without one of the terms, the sum would differ, and the total does not agree by chance.
    least = min((np.abs(term.values) > 2 * tolerance).sum() for term in terms)
    coarse = np.floor(total.values / (2 * tolerance + total.unit))
    return bool(least >= MIN_NONZERO_ROWS) and evidence_bits(coarse) >= MIN_EVIDENCE_BITS


def _scaled(
    kind: Kind,
    sources: tuple[ScreenedNumber, ScreenedNumber],
    computed: Floats,
    numbers: list[ScreenedNumber],
) -> Iterator[Relation]:
    names = tuple(source.name for source in sources)
    for total in numbers:
        if total in sources:
            continue
        first = np.flatnonzero(np.isfinite(computed) & (np.abs(total.values) > 0))
        if len(first) < MIN_NONZERO_ROWS:
            continue
        largest = first[np.argmax(np.abs(total.values[first]))]
        if computed[largest] == 0:
            continue
        slope = total.values[largest] / computed[largest]
        spread = 1 + np.abs(computed[:FIRST_ROWS] / computed[largest])
        differences = np.abs(slope * computed[:FIRST_ROWS] - total.values[:FIRST_ROWS])
        if (differences > total.tolerance * spread).any():
            continue
        for factor in _round_numbers(slope):
            if _agrees(factor * computed, total):
                yield Relation(kind, (*names, total.name), factor)
                break


def _linear(
    kind: Kind, names: tuple[str, ...], source: Floats, total: ScreenedNumber
) -> Iterator[Relation]:
    both = np.flatnonzero(np.isfinite(source) & np.isfinite(total.values))
    if len(both) < MIN_ROWS:
        return
    low, high = both[np.argmin(source[both])], both[np.argmax(source[both])]
    if source[low] == source[high]:
        return
    slope = (total.values[high] - total.values[low]) / (source[high] - source[low])
    first = both[:FIRST_ROWS]
    if np.ptp(total.values[first] - slope * source[first]) > 4 * total.tolerance:
        return
    # A rounded number of few digits is the likely factor; others are tried with more digits.
    for factor in _round_numbers(slope):
        residuals = total.values[both] - factor * source[both]
        middle = (residuals.min() + residuals.max()) / 2
        if factor == 0 or residuals.max() - residuals.min() > 2 * total.tolerance:
            continue
        for offset in _round_numbers(middle, with_zero=True):
            if _agrees(factor * source + offset, total):
                yield Relation(kind, (*names, total.name), factor, offset)
                return


def _round_numbers(value: float, *, with_zero: bool = False) -> Iterator[float]:
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


def _agrees(computed: Floats, total: ScreenedNumber) -> bool:
    """Return True if `total` is `computed`, rounded, in all rows, and too often for chance."""
    for part in (slice(0, FIRST_ROWS), slice(None)):
        difference = np.abs(computed[part] - total.values[part])
        if (difference > total.tolerance).any():
            return False
    both = np.isfinite(computed) & np.isfinite(total.values)
    return (
        int(both.sum()) >= MIN_ROWS
        and len(np.unique(total.values[both])) >= MIN_DISTINCT_VALUES
        and evidence_bits(total.values[both]) >= MIN_EVIDENCE_BITS
    )


def evidence_bits(values: NDArray[Any]) -> float:
    """Return -log2 of the probability that independent values agree in all rows."""
    _, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    agreement = float(((counts / counts.sum()) ** 2).sum())
    return -len(values) * math.log2(agreement)


def _nonzero(values: Floats) -> int:
    return int((np.nan_to_num(values) != 0).sum())
