"""Search for equations between numbers: sums, products, ratios and linear functions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, combinations_with_replacement, permutations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.scale import TICKS_PER_SECOND
from models.tabular.relations.dates.clock_times import find_clock_times, find_later_times
from models.tabular.relations.equations.first_rows import FirstRows
from models.tabular.relations.equations.products import find_products_with_rest
from models.tabular.relations.equations.sums import find_balances, find_sums
from models.tabular.relations.kinds import TIME_UNITS, Kind
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import FLOAT_TOLERANCE
from models.tabular.relations.screened_numbers import (
    FIRST_ROWS,
    MAX_EQUATION_COLUMNS,
    MAX_EQUIVALENT_COLUMNS,
    MIN_DISTINCT_TIMES,
    MIN_DISTINCT_VALUES,
    MIN_NONZERO_ROWS,
    MIN_ROWS,
    SIGNIFICANT_DIGITS,
    ScreenedNumber,
    agrees,
    evidence_bits,
    round_numbers,
)

MAX_LINEAR_COLUMNS = 200  # numeric columns in linear functions
MAX_PRODUCT_COLUMNS = 100  # numeric columns in products and ratios
MAX_SCREENED_PRODUCTS = 500
MIN_CORRELATION = 0.98  # of the first rows, for pairs of more columns than in other equations
MAX_EXACT_FLOAT = 2.0**53  # integers up to this one are exact
MOST_EXACT: tuple[Kind, ...] = ("sum", "linear", "elapsed")


def find_equations(numbers: list[ScreenedNumber]) -> list[Relation]:
    """Return the equations in the order of their evidence, and only one between the same columns.

    Where each of two columns follows from the other, the one with more decimals is determined, or
    the one with more values: a percentage follows from counts. Among several formulas for the same
    columns, the one with the fewest digits is likely the true one.
    """
    unit = {number.name: number.unit for number in numbers}
    evidence = {number.name: round(evidence_bits(number.values)) for number in numbers}
    best: dict[frozenset[str], Relation] = {}
    with np.errstate(over="ignore", invalid="ignore"):  # infinity equals no value
        equations = list(_equations([number for number in numbers if number.distinct > 1]))
    equations.sort(
        key=lambda relation: (
            MOST_EXACT.index(relation.kind) if relation.kind in MOST_EXACT else len(MOST_EXACT),
            len(relation.columns),
            unit[relation.last],
            -evidence[relation.last],
        )
    )
    for relation in sorted(equations, key=_digits):
        best.setdefault(frozenset(relation.columns), relation)
    return [relation for relation in equations if relation is best[frozenset(relation.columns)]]


def _digits(relation: Relation) -> int:
    """Return the number of significant digits of the numbers in a formula."""
    factor = 1.0 if relation.part else relation.factor  # that of a unit of time is not shown
    parts = (f"{number:.{SIGNIFICANT_DIGITS - 1}e}" for number in (factor, relation.offset))
    return sum(len(part.partition("e")[0].strip("-0.").replace(".", "")) for part in parts)


def _equations(numbers: list[ScreenedNumber]) -> Iterator[Relation]:
    plain = [number for number in numbers if number.is_plain]
    flags = [number for number in numbers if number.is_flag]
    durations = [number for number in numbers if number.is_duration]
    yield from _linear_functions([*plain, *durations][:MAX_LINEAR_COLUMNS])
    yield from find_balances(plain)
    yield from find_balances(flags)
    if len(plain) > MAX_EQUATION_COLUMNS:
        triples = _screened_products([n for n in plain if n.distinct > 2][:MAX_PRODUCT_COLUMNS])
    else:
        triples = []
    for total, a, b in triples:
        yield from _scaled("product", (a, b), a.values * b.values, [total])
        for source in (a, b):
            yield from _ratios(total, source, FirstRows.of([a if source is b else b]))
    plain, durations = plain[:MAX_EQUATION_COLUMNS], durations[:MAX_EQUATION_COLUMNS]
    yield from find_sums(plain)
    yield from find_sums(durations)
    for a, b in combinations_with_replacement(plain, 2):
        yield from _scaled("product", (a, b), a.values * b.values, plain)
    yield from find_products_with_rest(plain)
    compared = FirstRows.of(plain)
    for a, b in permutations(plain, 2):
        yield from _ratios(a, b, compared)
    moments = [number for number in numbers if number.is_datetime or number.is_time_of_day]
    for start, end in permutations(moments[:MAX_EQUATION_COLUMNS], 2):
        if start.type == end.type:
            for total in (*plain, *durations):
                yield from _elapsed(start, end, total)
    yield from _copies(moments)
    yield from find_clock_times(moments, durations)
    yield from find_later_times(moments, plain)


def _copies(moments: list[ScreenedNumber]) -> Iterator[Relation]:
    """Yield the datetimes and times of day that are another one where both are present.

    The later column is the copy, or the one that is missing in more rows.
    """
    for pair in combinations(moments[:MAX_EQUATION_COLUMNS], 2):
        source, total = sorted(pair, key=lambda number: int(np.isnan(number.values).sum()))
        is_exact = np.nanmax(np.abs(total.values)) <= MAX_EXACT_FLOAT
        if is_exact and source.type == total.type and agrees(source.values, total):
            yield Relation("linear", (source.name, total.name))


def _linear_functions(numbers: list[ScreenedNumber]) -> Iterator[Relation]:
    """Yield the numbers that are linear functions of another one.

    Of more than MAX_EQUIVALENT_COLUMNS that are functions of each other, the other ones are only
    functions of the first one, from which all relations between them follow.
    """
    followers: set[ScreenedNumber] = set()
    num_equivalent: Counter[ScreenedNumber] = Counter()
    for total, source in _correlated(numbers):
        if total in followers or source in followers:
            continue
        for relation in _linear("linear", (source.name,), source.values, total):
            yield relation
            if _is_equivalent(source, total):
                num_equivalent[source] += 1
                if num_equivalent[source] >= MAX_EQUIVALENT_COLUMNS:
                    followers.add(total)


def _is_equivalent(source: ScreenedNumber, total: ScreenedNumber) -> bool:
    """Return True if `source` is a function of `total`, which has values in the same rows."""
    if not np.array_equal(np.isnan(source.values), np.isnan(total.values)):
        return False
    return any(_linear("linear", (total.name,), total.values, source))


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


def _screened_products(
    numbers: list[ScreenedNumber],
) -> list[tuple[ScreenedNumber, ScreenedNumber, ScreenedNumber]]:
    """Return triples of which the first may be proportional to the product of the others.

    In rows without zeros, the logarithm of a product differs from the sum of the logarithms by a
    constant, up to rounding.
    """
    numbers, sizes = _without_zeros(numbers)
    if len(numbers) < 3:
        return []
    logs = np.log(sizes) - np.log(sizes).mean(1, keepdims=True)
    units = np.array([[number.unit] for number in numbers])
    rounding = ((units / sizes) ** 2).mean(1) + FLOAT_TOLERANCE
    products = logs @ logs.T / logs.shape[1]
    own = np.diag(products)
    # The mean square of log t - log a - log b.
    t, a, b = np.ogrid[: len(numbers), : len(numbers), : len(numbers)]
    square = own[t] + own[a] + own[b] - 2 * (products[t, a] + products[t, b] - products[a, b])
    allowed = rounding[t] + rounding[a] + rounding[b]
    is_candidate = (square < allowed) & (a <= b) & (t != a) & (t != b)
    candidates = np.argwhere(is_candidate)
    best = candidates[np.argsort(square[is_candidate], kind="stable")][:MAX_SCREENED_PRODUCTS]
    return [(numbers[t], numbers[a], numbers[b]) for t, a, b in best]


def _without_zeros(numbers: list[ScreenedNumber]) -> tuple[list[ScreenedNumber], Floats]:
    """Return the most numbers that enough rows have without zeros, and their (C, N) magnitudes."""
    sizes = {number: np.abs(np.nan_to_num(number.values)) for number in numbers}
    rows: NDArray[np.bool_] = np.array(True)
    kept: list[ScreenedNumber] = []
    for number in sorted(numbers, key=lambda number: -float((sizes[number] > 0).mean())):
        remaining = rows & (sizes[number] > 0) & np.isfinite(sizes[number])
        if remaining.sum() >= MIN_ROWS:
            rows, kept = remaining, [*kept, number]
    return kept, np.array([sizes[number][rows] for number in kept])


def _ratios(a: ScreenedNumber, b: ScreenedNumber, compared: FirstRows) -> Iterator[Relation]:
    """Yield the numbers that are proportional to a / b, or linear in it: a relative change."""
    quotient = a.values / np.where(b.values == 0, np.nan, b.values)
    for total in compared.linear_in(quotient):
        if total in (a, b):
            continue
        proportional = list(_scaled("ratio", (a, b), quotient, [total]))
        yield from proportional or _linear("ratio", (a.name, b.name), quotient, total)


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
        usable = np.flatnonzero(np.isfinite(computed) & (np.abs(total.values) > 0))
        if len(usable) < MIN_NONZERO_ROWS or total.distinct < MIN_DISTINCT_VALUES:
            continue
        largest = usable[np.argmax(np.abs(total.values[usable]))]
        if computed[largest] == 0:
            continue
        slope = total.values[largest] / computed[largest]
        spread = 1 + np.abs(computed[:FIRST_ROWS] / computed[largest])
        differences = np.abs(slope * computed[:FIRST_ROWS] - total.values[:FIRST_ROWS])
        if (differences > total.tolerance * spread).any():
            continue
        for factor in round_numbers(slope):
            if agrees(factor * computed, total):
                yield Relation(kind, (*names, total.name), factor)
                break


def _elapsed(
    start: ScreenedNumber, end: ScreenedNumber, total: ScreenedNumber
) -> Iterator[Relation]:
    """Yield the time between two datetimes or times of day, in a unit of time if possible."""
    if pa.types.is_date32(start.type):  # in days
        ticks = 1 / TIME_UNITS["days"]
    else:
        ticks = TICKS_PER_SECOND[getattr(start.type, "unit", "ms")]
    units = {1 / (ticks * seconds): unit for unit, seconds in TIME_UNITS.items()}
    names, difference = (start.name, end.name), end.values - start.values
    factors = () if total.is_duration else tuple(units)
    for relation in _linear("elapsed", names, difference, total, factors):
        yield replace(relation, part=units.get(relation.factor, "") if factors else "")


def _linear(
    kind: Kind,
    names: tuple[str, ...],
    source: Floats,
    total: ScreenedNumber,
    likely_factors: Sequence[float] = (),
) -> Iterator[Relation]:
    both = np.flatnonzero(np.isfinite(source) & np.isfinite(total.values))
    min_distinct = MIN_DISTINCT_TIMES if kind == "elapsed" else MIN_DISTINCT_VALUES
    if len(both) < MIN_ROWS or total.distinct < min_distinct:
        return
    low, high = both[np.argmin(source[both])], both[np.argmax(source[both])]
    if source[low] == source[high]:
        return
    slope = (total.values[high] - total.values[low]) / (source[high] - source[low])
    first = both[:FIRST_ROWS]
    if np.ptp(total.values[first] - slope * source[first]) > 4 * total.tolerance:
        return
    # A rounded number of few digits is the likely factor; others are tried with more digits.
    for factor in (*likely_factors, *round_numbers(slope)):
        residuals = total.values[both] - factor * source[both]
        middle = (residuals.min() + residuals.max()) / 2
        if factor == 0 or residuals.max() - residuals.min() > 2 * total.tolerance:
            continue
        for offset in round_numbers(middle, with_zero=True):
            if agrees(factor * source + offset, total, min_distinct):
                yield Relation(kind, (*names, total.name), factor, offset)
                return
