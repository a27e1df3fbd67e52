"""Search for relations that all rows with values satisfy and that chance does not explain."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.constraints import NUMERIC_TYPES
from models.tabular.discrete_relations import (
    MAX_COMPARED_COLUMNS,
    MIN_EVIDENCE_BITS,
    MIN_EXPECTED_VIOLATIONS,
    find_distinct,
    find_lookups,
)
from models.tabular.number_grid import NumberGrid, is_numeric
from models.tabular.relations import (
    DATE_PARTS,
    ROUNDING,
    Kind,
    Relation,
    array,
    as_floats,
)

MIN_ROWS = 50  # fewer rows are too little evidence
MIN_NONZERO_ROWS = 20  # of each term of a sum
MIN_DISTINCT_VALUES = 10  # of the columns of an equation
MAX_STEP_SHARE = 0.1  # distinct values of a step function, relative to the rows
MAX_EQUATION_COLUMNS = 16  # numeric columns in sums, products and ratios
SCREENING_ROWS = 5_000  # yield candidates, which are then checked on all rows
MOST_EXACT: tuple[Kind, ...] = ("sum", "linear", "elapsed")
FIRST_ROWS = 64  # of the screened ones rule out most equations
SIGNIFICANT_DIGITS = 12


@dataclass(frozen=True)
class _Number:
    """A numeric column of the screened rows; NaN where missing."""

    name: str
    type: pa.DataType
    values: Floats
    decimals: int
    distinct: int

    @property
    def unit(self) -> float:
        return 10.0**-self.decimals

    @property
    def is_datetime(self) -> bool:
        return bool(pa.types.is_temporal(self.type))


def detect_relations(
    table: pa.Table, types: Mapping[str, str], *, min_value_count: int = 0
) -> list[Relation]:
    """Detect the relations between the columns in `types`, which maps names to types.

    Relations whose parameters are values of single rows are left out if `min_value_count` is set,
    and so are the rarer values of a lookup.
    """
    sample = _screened_rows(table)
    if len(sample) < MIN_ROWS:
        return []
    numbers = [
        _number(sample, name)
        for name, type in types.items()
        if type in (*NUMERIC_TYPES, "datetime") and is_numeric(sample.schema.field(name).type)
    ]
    numbers = [number for number in numbers if not np.isinf(number.values).any()]
    equations = [*_best_equations(numbers), *_date_parts(sample, numbers)]
    candidates = [*equations, *_orders(numbers)]
    if not min_value_count:
        candidates += _steps(table, numbers, {relation.columns for relation in equations})
    # Last, because these columns may be coded by an exact relation.
    candidates += _rounded_sums(numbers, {frozenset(relation.columns) for relation in equations})
    decimals = {n.name: NumberGrid.fit(array(table, n.name)).decimals for n in numbers}
    candidates = [replace(r, decimals=decimals[r.columns[-1]]) for r in candidates]
    relations = [relation for relation in candidates if relation.holds(table).all()]
    relations += find_lookups(table, types, min_value_count)
    related = {frozenset(relation.columns) for relation in relations}
    return relations + find_distinct(table, types, related)


def _screened_rows(table: pa.Table) -> pa.Table:
    """Return a sample of the rows in their order: the first ones of a sorted table are alike."""
    if len(table) <= SCREENING_ROWS:
        return table
    chosen = np.random.default_rng(0).choice(len(table), SCREENING_ROWS, replace=False)
    return table.take(pa.array(np.sort(chosen)))


def _number(rows: pa.Table, name: str) -> _Number:
    values = array(rows, name)
    floats = as_floats(values)
    distinct = len(np.unique(floats[~np.isnan(floats)]))
    return _Number(name, values.type, floats, NumberGrid.fit(values).decimals, distinct)


def _best_equations(numbers: list[_Number]) -> list[Relation]:
    """Return the equations in the order of their evidence, and only one between the same columns.

    Where each of two columns follows from the other, the one with more values is determined. Among
    several formulas for it, the one with the fewest digits is likely the true one.
    """
    evidence = {number.name: round(_evidence_bits(number.values)) for number in numbers}
    best: dict[frozenset[str], Relation] = {}
    for relation in sorted(
        _equations([number for number in numbers if number.distinct > 1]),
        key=lambda relation: (
            MOST_EXACT.index(relation.kind) if relation.kind in MOST_EXACT else len(MOST_EXACT),
            -evidence[relation.columns[-1]],
            len(repr((relation.factor, relation.offset))),
        ),
    ):
        best.setdefault(frozenset(relation.columns), relation)
    return list(best.values())


def _equations(numbers: list[_Number]) -> Iterator[Relation]:
    datetimes = [number for number in numbers if number.is_datetime][:MAX_EQUATION_COLUMNS]
    plain = [number for number in numbers if not number.is_datetime and number.decimals >= 0][
        :MAX_EQUATION_COLUMNS
    ]
    yield from _sums(plain)
    for total, source in permutations(plain, 2):
        yield from _linear("linear", (source.name,), source.values, total)
    for a, b in combinations(plain, 2):
        yield from _scaled("product", (a, b), a.values * b.values, plain)
    for a, b in permutations(plain, 2):
        divisor = np.where(b.values == 0, np.nan, b.values)
        yield from _scaled("ratio", (a, b), a.values / divisor, plain)
    for start, end in permutations(datetimes, 2):
        if start.type == end.type:
            for total in plain:
                difference = end.values - start.values
                yield from _linear("elapsed", (start.name, end.name), difference, total)


def _sums(numbers: list[_Number]) -> Iterator[Relation]:
    terms = [number for number in numbers if _nonzero(number.values) >= MIN_NONZERO_ROWS]
    first_rows = np.stack([n.values[:FIRST_ROWS] for n in numbers]) if numbers else np.empty((0, 1))
    tolerances = np.array([[ROUNDING * number.unit] for number in numbers])
    for size in (2, 3):
        for chosen in combinations(terms, size):
            computed = np.sum([term.values[:FIRST_ROWS] for term in chosen], axis=0)
            differs = (np.abs(first_rows - computed) > tolerances).any(1)
            for i in np.flatnonzero(~differs):
                total = numbers[i]
                if total not in chosen and _agrees(
                    np.sum([t.values for t in chosen], axis=0), total
                ):
                    yield Relation("sum", (*(term.name for term in chosen), total.name))


def _rounded_sums(numbers: list[_Number], found: Collection[frozenset[str]]) -> Iterator[Relation]:
    """Yield sums that rounding has changed, of columns with as many decimals and without gaps."""
    plain = [n for n in numbers if not n.is_datetime and n.decimals >= 0 and n.distinct > 1]
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
                is_new = total not in chosen and frozenset(columns) not in found
                if is_new and _is_rounded_sum(chosen, total):
                    yield Relation("rounded_sum", columns)


def _is_rounded_sum(terms: Sequence[_Number], total: _Number) -> bool:
    if any(term.decimals != total.decimals for term in terms):
        return False
    tolerance = ROUNDING * (len(terms) + 1) * total.unit
    computed = np.sum([term.values for term in terms], axis=0)
    if (np.abs(computed - total.values) > tolerance).any():
        return False
    # Without one of the terms, the sum would differ, and the total does not agree by chance.
    least = min((np.abs(term.values) > 2 * tolerance).sum() for term in terms)
    coarse = np.floor(total.values / (2 * tolerance + total.unit))
    return bool(least >= MIN_NONZERO_ROWS) and _evidence_bits(coarse) >= MIN_EVIDENCE_BITS


def _scaled(
    kind: Kind, sources: tuple[_Number, _Number], computed: Floats, numbers: list[_Number]
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
        if (differences > ROUNDING * total.unit * spread).any():
            continue
        for factor in _round_numbers(slope):
            if _agrees(factor * computed, total):
                yield Relation(kind, (*names, total.name), factor)
                break


def _linear(
    kind: Kind, names: tuple[str, ...], source: Floats, total: _Number
) -> Iterator[Relation]:
    both = np.flatnonzero(np.isfinite(source) & np.isfinite(total.values))
    if len(both) < MIN_ROWS:
        return
    low, high = both[np.argmin(source[both])], both[np.argmax(source[both])]
    if source[low] == source[high]:
        return
    slope = (total.values[high] - total.values[low]) / (source[high] - source[low])
    first = both[:FIRST_ROWS]
    if np.ptp(total.values[first] - slope * source[first]) > 4 * ROUNDING * total.unit:
        return
    # A rounded number of few digits is the likely factor; others are tried with more digits.
    for factor in _round_numbers(slope):
        residuals = total.values[both] - factor * source[both]
        middle = (residuals.min() + residuals.max()) / 2
        if factor == 0 or residuals.max() - residuals.min() > 2 * ROUNDING * total.unit:
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


def _agrees(computed: Floats, total: _Number) -> bool:
    """Return True if `total` is `computed`, rounded, in all rows, and too often for chance."""
    for part in (slice(0, FIRST_ROWS), slice(None)):
        difference = np.abs(computed[part] - total.values[part])
        if (difference > ROUNDING * total.unit).any():
            return False
    both = np.isfinite(computed) & np.isfinite(total.values)
    return (
        int(both.sum()) >= MIN_ROWS
        and len(np.unique(total.values[both])) >= MIN_DISTINCT_VALUES
        and _evidence_bits(total.values[both]) >= MIN_EVIDENCE_BITS
    )


def _evidence_bits(values: NDArray[Any]) -> float:
    """Return -log2 of the probability that independent values agree in all rows."""
    _, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    agreement = float(((counts / counts.sum()) ** 2).sum())
    return -len(values) * math.log2(agreement)


def _nonzero(values: Floats) -> int:
    return int((np.nan_to_num(values) != 0).sum())


def _date_parts(rows: pa.Table, numbers: list[_Number]) -> Iterator[Relation]:
    for source in (number for number in numbers if number.is_datetime):
        for total in numbers:
            if not pa.types.is_integer(total.type):
                continue
            for part in DATE_PARTS:
                if part == "hour" and pa.types.is_date(source.type):
                    continue
                relation = Relation("date_part", (source.name, total.name), part=part)
                computed = relation.compute_numbers(rows)
                both = np.isfinite(computed) & np.isfinite(total.values)
                if (
                    both.sum() >= MIN_ROWS
                    and not (np.abs(computed - total.values) > 0).any()
                    and _evidence_bits(total.values[both]) >= MIN_EVIDENCE_BITS
                ):
                    yield relation


def _steps(
    table: pa.Table, numbers: list[_Number], found: set[tuple[str, ...]]
) -> Iterator[Relation]:
    """Yield monotone step functions of columns with many more values than steps."""
    for source, total in permutations(numbers[:MAX_COMPARED_COLUMNS], 2):
        if (source.name, total.name) in found or not 2 <= total.distinct <= source.distinct / 2:
            continue
        columns = (source.name, total.name)
        if _fit_steps(columns, source.values, total.values) is None:
            continue
        # Rows that were not screened may have further steps, or other positions of them.
        values = (as_floats(array(table, name)) for name in columns)
        if relation := _fit_steps(columns, *values):
            yield relation


def _fit_steps(columns: tuple[str, str], x: Floats, y: Floats) -> Relation | None:
    """Return the monotone step function from (N,) `x` to `y`; None if chance may explain it."""
    both = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[both], kind="stable")
    x, y = x[both][order], y[both][order]
    changes = np.flatnonzero(np.diff(y))
    directions = np.unique(np.sign(np.diff(y)[changes]))
    if len(x) < MIN_ROWS or len(changes) >= MAX_STEP_SHARE * len(x):
        return None
    if len(directions) != 1 or (x[changes] == x[changes + 1]).any():
        return None
    # The positions of the steps are fitted: each costs as much as the choice of a row.
    if _evidence_bits(y) - len(changes) * math.log2(len(x)) < MIN_EVIDENCE_BITS:
        return None
    keys = (x[changes] + x[changes + 1]) / 2
    values = [y[0], *y[changes + 1]]
    return Relation("step", columns, keys=tuple(map(float, keys)), values=tuple(map(float, values)))


def _orders(numbers: list[_Number]) -> Iterator[Relation]:
    datetimes = [number for number in numbers if number.is_datetime][:MAX_COMPARED_COLUMNS]
    plain = [number for number in numbers if not number.is_datetime][:MAX_COMPARED_COLUMNS]
    for low, high in (*permutations(plain, 2), *permutations(datetimes, 2)):
        if low.is_datetime and low.type != high.type:
            continue
        if _is_order(low.values, high.values):
            yield Relation("order", (low.name, high.name))


def _is_order(low: Floats, high: Floats) -> bool:
    both_present = ~(np.isnan(low) | np.isnan(high))
    a, b = low[both_present], high[both_present]
    if len(a) < MIN_ROWS or (a > b).any() or not (a < b).any():
        return False
    return bool(np.searchsorted(np.sort(b), a).mean() > MIN_EXPECTED_VIOLATIONS)
