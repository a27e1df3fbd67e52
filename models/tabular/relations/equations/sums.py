"""Search for numbers that are sums or differences of others."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, compress

import numpy as np

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import MAX_EXACT
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import ROUNDING
from models.tabular.relations.screened_numbers import (
    FIRST_ROWS,
    MAX_EQUATION_COLUMNS,
    MIN_EVIDENCE_BITS,
    MIN_ROWS,
    ScreenedNumber,
    agrees,
    evidence_bits,
    is_needed,
)

MAX_BALANCE_COLUMNS = 100
MIN_PRESENT_SHARE = 0.9  # of the rows have a value of each column
MIN_INDEPENDENT_PART = 1e-7  # of a column, relative to its standard deviation
MAX_ROUNDED_PART = 0.1  # of a column, relative to its standard deviation
FACTOR_TOLERANCE = 1e-4
ROUNDED_FACTOR_TOLERANCE = 0.1  # numbers of a few units have less exact factors


def find_sums(numbers: list[ScreenedNumber]) -> Iterator[Relation]:
    """Yield exact sums of two to four numbers."""
    terms = [n for n in numbers if is_needed(n.values)]
    for chosen, total in _screened_sums(terms, numbers, lambda number, _: number.tolerance):
        if agrees(np.sum([term.values for term in chosen], axis=0), total):
            yield Relation("sum", (*(term.name for term in chosen), total.name))


def find_rounded_sums(
    numbers: list[ScreenedNumber], excluded: Collection[frozenset[str]]
) -> Iterator[Relation]:
    """Yield sums that rounding has changed, of columns with as many decimals and without gaps.

    Sets of columns in `excluded` have an exact equation.
    """
    plain = [n for n in numbers if n.is_plain and n.decimals >= 0 and n.distinct > 1]
    plain = [n for n in plain if not np.isnan(n.values).any()][:MAX_EQUATION_COLUMNS]
    for terms, total in _screened_sums(plain, plain, _rounding_of_sum):
        columns = (*(term.name for term in terms), total.name)
        if frozenset(columns) not in excluded and _is_rounded_sum(terms, total):
            yield Relation("rounded_sum", columns)


def find_rounded_balances(
    numbers: list[ScreenedNumber], excluded: Collection[frozenset[str]]
) -> Iterator[Relation]:
    """Yield balances that rounding has changed, such as shares that add up to about 100 per cent.

    Their columns have as many decimals and no gaps. Sets of columns in `excluded` have a relation.
    """
    plain = [n for n in numbers if n.is_plain and n.decimals >= 0 and n.distinct > 1]
    plain = [n for n in plain if not np.isnan(n.values).any()][:MAX_BALANCE_COLUMNS]
    for decimals in sorted({number.decimals for number in plain}):
        group = [number for number in plain if number.decimals == decimals]
        centered = np.stack([number.values - number.values.mean() for number in group])
        products = centered @ centered.T
        independent: list[int] = []
        for index, number in enumerate(group):
            relation = None
            if 2 <= len(independent) <= (len(number.values) - MIN_ROWS) / 2:
                # Least squares: rounding changes the factors by little.
                equations = products[np.ix_(independent, independent)]
                factors = np.linalg.lstsq(equations, products[independent, index])[0]
                relation = _rounded_balance([group[i] for i in independent], factors, number)
            if relation is None:
                independent.append(index)
            elif frozenset(relation.columns) not in excluded:
                yield relation


def _rounded_balance(
    terms: Sequence[ScreenedNumber], factors: Floats, last: ScreenedNumber
) -> Relation | None:
    """Return the balance of `last` and some of `terms`, before rounding; None if there is none.

    `factors` (K,) are those of the terms by least squares.
    """
    signs = np.rint(factors)
    chosen = {term: int(sign) for term, sign in zip(terms, signs, strict=True) if sign}
    if len(chosen) < 2 or np.abs(factors - signs).max() > ROUNDED_FACTOR_TOLERANCE:
        return None
    computed = np.sum([sign * term.values for term, sign in chosen.items()], axis=0)
    offset = round(float((last.values - computed).mean()), last.decimals)
    tolerance = _rounding_of_sum(last, len(chosen))
    if np.abs(signs).max() > 1 or (np.abs(computed + offset - last.values) > tolerance).any():
        return None
    coarse = np.floor(last.values / (2 * tolerance + last.unit))
    if not all(is_needed(number.values, 2 * tolerance) for number in (last, *chosen)):
        return None
    if evidence_bits(coarse) - len(terms) * math.log2(3) < MIN_EVIDENCE_BITS:
        return None
    return replace(_balance(chosen, last, offset), kind="rounded_sum")


def _rounding_of_sum(total: ScreenedNumber, num_terms: int) -> float:
    """Return by how much a sum may differ from `total` if all numbers were rounded."""
    return ROUNDING * (num_terms + 1) * total.unit


def _is_rounded_sum(terms: Sequence[ScreenedNumber], total: ScreenedNumber) -> bool:
    if any(term.decimals != total.decimals for term in terms):
        return False
    tolerance = _rounding_of_sum(total, len(terms))
    computed = np.sum([term.values for term in terms], axis=0)
    if (np.abs(computed - total.values) > tolerance).any():
        return False
    # Without one of the terms, the sum would differ, and the total does not agree by chance.
    coarse = np.floor(total.values / (2 * tolerance + total.unit))
    has_terms = all(is_needed(term.values, 2 * tolerance) for term in terms)
    return has_terms and evidence_bits(coarse) >= MIN_EVIDENCE_BITS


def _screened_sums(
    terms: Sequence[ScreenedNumber],
    totals: Sequence[ScreenedNumber],
    tolerance: Callable[[ScreenedNumber, int], float],
) -> Iterator[tuple[tuple[ScreenedNumber, ...], ScreenedNumber]]:
    """Yield the sums of two to four terms that the first rows do not rule out.

    `tolerance` returns by how much a total may differ from the sum of a number of terms.
    """
    first_rows = np.array([number.values[:FIRST_ROWS] for number in totals])
    for size in (2, 3, 4):
        tolerances = np.array([[tolerance(number, size)] for number in totals])
        for chosen in combinations(terms, size):
            computed = np.sum([term.values[:FIRST_ROWS] for term in chosen], axis=0)
            differs = (np.abs(first_rows - computed) > tolerances).any(1)
            for total in compress(totals, ~differs):
                if total not in chosen:
                    yield chosen, total


def find_balances(numbers: list[ScreenedNumber]) -> Iterator[Relation]:
    """Yield numbers that are sums and differences of any number of those before them, and offset.

    Examples are a total of many parts, a balance (opening + received - sold = closing), and flags
    of which one is set.
    """
    numbers = [
        n
        for n in numbers
        if n.decimals >= 0 and n.distinct > 1 and np.isfinite(n.values).mean() >= MIN_PRESENT_SHARE
    ][:MAX_BALANCE_COLUMNS]
    if len(numbers) < 3:
        return
    values = np.stack([number.values for number in numbers])
    values = values[:, np.isfinite(values).all(0)]
    if values.shape[1] < MIN_ROWS + 2 * len(numbers):
        return
    for index, independent, factors in _dependent_columns(values):
        signs = np.rint(factors)
        if np.abs(factors - signs).max() > FACTOR_TOLERANCE or np.abs(signs).max() > 1:
            continue
        terms = {numbers[i]: int(s) for s, i in zip(signs, independent, strict=True) if s}
        evidence = max(evidence_bits(number.values) for number in (numbers[index], *terms))
        if len(terms) > 1 and evidence - len(independent) * math.log2(3) >= MIN_EVIDENCE_BITS:
            offset = float((values[index] - signs @ values[independent]).mean())
            yield _balance(terms, numbers[index], offset)


def find_coarser_totals(
    numbers: list[ScreenedNumber], excluded: Collection[frozenset[str]]
) -> Iterator[Relation]:
    """Yield sums and differences of any number of columns, some of which have more decimals.

    Rounding has changed only the last column, such as an interest in cents that is a payment of
    many decimals less a repayment. Sets of columns in `excluded` have an equation.
    """
    numbers = [n for n in numbers if n.is_plain and n.distinct > 1]
    numbers = [n for n in numbers if np.isfinite(n.values).mean() >= MIN_PRESENT_SHARE]
    numbers = [n for n in numbers if np.nanmax(np.abs(n.values)) < MAX_EXACT]
    # The last column is that of the fewest decimals, and one that is rarely 0.
    numbers = sorted(
        numbers[:MAX_BALANCE_COLUMNS], key=lambda n: (n.unit, np.count_nonzero(n.values))
    )
    if len(numbers) < 3 or len({number.decimals for number in numbers}) < 2:
        return
    values = np.stack([number.values for number in numbers])
    values = values[:, np.isfinite(values).all(0)]
    if values.shape[1] < MIN_ROWS + 2 * len(numbers):
        return
    units = np.array([number.unit for number in numbers])
    rounding = np.minimum(ROUNDING * units, MAX_ROUNDED_PART * values.std(1))
    for index, independent, factors in _dependent_columns(values, rounding):
        last, signs = numbers[index], np.rint(factors)
        if last.decimals < 0 or np.abs(factors - signs).max() > ROUNDED_FACTOR_TOLERANCE:
            continue
        terms = {numbers[i]: int(s) for s, i in zip(signs, independent, strict=True) if s}
        columns = frozenset(number.name for number in (*terms, last))
        is_new = columns not in excluded and any(n.decimals != last.decimals for n in terms)
        if len(terms) < 2 or np.abs(signs).max() > 1 or not is_new:
            continue
        offset = round(float((values[index] - signs @ values[independent]).mean()), last.decimals)
        computed = np.sum([sign * n.values for n, sign in terms.items()], axis=0) + offset
        if agrees(computed, last) and all(is_needed(n.values, 2 * last.unit) for n in terms):
            names = (*(number.name for number in terms), last.name)
            yield Relation("sum", names, offset=0.0 + offset, signs=tuple(terms.values()))


def _dependent_columns(
    values: Floats, rounding: Floats | float = 0.0
) -> Iterator[tuple[int, list[int], Floats]]:
    """Yield the columns that are linear combinations, up to a constant, of those before them.

    Each of the (C, N) columns is projected onto the independent ones before it (Gram-Schmidt). The
    root mean square of what this leaves is at most that of the `rounding` (C,) of the column.

    Yields:
        The index of the column, those of the K independent ones before it, and their (K,) factors.
    """
    centered = values - values.mean(1, keepdims=True)
    norms = np.maximum(np.linalg.norm(centered, axis=1), np.finfo(float).tiny)
    directions = centered / norms[:, None]
    allowed = np.maximum(rounding * np.sqrt(values.shape[1]) / norms, MIN_INDEPENDENT_PART)
    basis, independent = np.empty((0, values.shape[1])), list[int]()
    for index, direction in enumerate(directions):
        rest = direction - (direction @ basis.T) @ basis
        rest -= (rest @ basis.T) @ basis  # again, because of rounding errors
        size = np.linalg.norm(rest)
        if size > allowed[index]:
            basis = np.vstack([basis, rest / size])
            independent.append(index)
            continue
        coordinates = directions[independent] @ basis.T
        shares = np.linalg.solve(coordinates.T, basis @ direction)
        yield index, list(independent), shares * norms[index] / norms[independent]


def _balance(terms: Mapping[ScreenedNumber, int], last: ScreenedNumber, offset: float) -> Relation:
    """Return the sum that determines the only column of its side of the equation, or `last`."""
    offset = round(offset, max(number.decimals for number in (last, *terms)))
    names = [number.name for number in terms]
    added = [number.name for number, sign in terms.items() if sign > 0]
    if len(added) == 1:  # it is the sum of the others, as these are subtracted from it
        names = [*(name for name in names if name not in added), last.name, *added]
        return Relation("sum", tuple(names), offset=0.0 - offset)
    signs = () if len(added) == len(names) else tuple(terms.values())
    return Relation("sum", (*names, last.name), offset=0.0 + offset, signs=signs)
