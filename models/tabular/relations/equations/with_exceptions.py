"""Search for equations, parts of dates and steps that a few odd rows break.

Typing errors or special rows, such as a time of 24:00, must not hide a relation of all other rows.
Small random subsets of the rows likely have none of them, so their exact relations are candidates.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import exact_numbers
from models.tabular.relations.dates.calendar import find_date_parts
from models.tabular.relations.detection import find_steps, fit_steps, numbers_of
from models.tabular.relations.equations.detection import find_equations
from models.tabular.relations.equations.rare_terms import MAX_BROKEN_SHARE, with_rare_terms
from models.tabular.relations.equations.weighted_sums import find_weighted_sums
from models.tabular.relations.kinds import GIVES_TEXT, NOT_EXPLAINING
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats

SUBSET_SIZES = (200, 80, 80)  # the smaller, the more odd rows there may be in a table
STEPS_SIZES = (800, 300)  # of subsets for step functions, of which each step needs some rows
MAX_NUMBERS = 20  # columns that are compared
MIN_ROWS = 200
CHECKED_ROWS = 5_000  # rule out most candidates
MAX_EXCEPTIONS = 0.01  # of the rows
MAX_UNUSUAL_EXCEPTIONS = 0.05  # of the rows that have another number than most rows
MIN_UNUSUAL_ROWS = 30  # that satisfy the relation


def find_equations_with_exceptions(
    table: pa.Table,
    types: Mapping[str, str],
    relations: Sequence[Relation],
    excluded: Collection[str],
) -> list[Relation]:
    """Return the equations that at most one in a hundred rows breaks, one for each column.

    All rows may satisfy one with a term that is 0 in nearly all of them.

    The columns of one of the exact `relations` have no other one, and those in `excluded` are not
    determined.
    """
    plain = exact_numbers(table, types)
    related = {frozenset(each.columns) for each in relations if each.kind not in NOT_EXPLAINING}
    # Of a date over columns that has a relation to another date, the parts follow from both.
    dates = [(name, date) for each in relations for date in each.spread for name in each.columns]
    related |= {frozenset((name, part)) for name, date in dates for part in date.columns}
    if len(table) < MIN_ROWS:
        return []
    rng = np.random.default_rng(0)
    checked = table.take(pa.array(rng.permutation(len(table))[:CHECKED_ROWS]))
    by_column: dict[str, Relation] = {}
    sizes = [*((size, True) for size in STEPS_SIZES), *((size, False) for size in SUBSET_SIZES)]
    order = rng.permutation(len(table))
    for size, only_steps in sizes:
        # An odd row is in as few subsets as possible.
        subset, order = table.take(pa.array(np.sort(order[:size]))), np.roll(order, -size)
        for relation in _candidates(subset, types, {*excluded, *by_column}, only_steps):
            if relation.last in by_column or frozenset(relation.columns) in related:
                continue
            near: Relation | None = relation
            if relation.kind == "step":
                near = _steps_of_most(relation, checked) and _steps_of_most(relation, table)
            elif (~relation.holds(checked)).mean() <= MAX_BROKEN_SHARE:
                near = with_rare_terms(relation, table, plain)
            if near is None or frozenset(near.columns) in related:
                continue
            if near.kind == "step" or not near.holds(table).all():
                near = replace(near, exceptions=True)
            if all(_holds_in_most(near, rows) for rows in (checked, table)):
                by_column[near.last] = near
    return list(by_column.values())


def _candidates(
    subset: pa.Table,
    types: Mapping[str, str],
    excluded: Collection[str],
    only_steps: bool,
) -> Iterator[Relation]:
    """Yield the relations of a few rows that determine a number not in `excluded`."""
    numbers = numbers_of(subset, types)[:MAX_NUMBERS]
    if all(number.name in excluded or number.is_flag for number in numbers):
        return
    if only_steps:
        equations = list(find_date_parts(subset, numbers, ()))
        equations += find_steps(subset, numbers, {relation.columns for relation in equations})
    else:
        equations = find_equations(numbers)
        equations += find_weighted_sums(numbers, {relation.last for relation in equations})
        equations += find_date_parts(subset, numbers, ())
    of_name = {number.name: number for number in numbers}
    for relation in equations:
        last = of_name.get(relation.last)
        if relation.last in excluded or last is None or relation.kind in GIVES_TEXT:
            continue
        if not last.is_flag:
            yield replace(relation, decimals=last.decimals, digits=last.digits)


def _holds_in_most(relation: Relation, rows: pa.Table) -> bool:
    """Return True if few rows break a relation, also of those with an unusual number."""
    computed, last = relation.compute_numbers(rows), as_floats(array(rows, relation.last))
    is_complete = np.isfinite(computed) & np.isfinite(last)
    holds, last = relation.holds(rows)[is_complete], last[is_complete]
    if not len(last):
        return False
    values, counts = np.unique(last, return_counts=True)
    is_unusual = last != values[counts.argmax()]
    broken = (~holds).sum()
    return bool(
        broken <= MAX_EXCEPTIONS * len(last)
        and broken <= MAX_UNUSUAL_EXCEPTIONS * is_unusual.sum()
        and (holds & is_unusual).sum() >= MIN_UNUSUAL_ROWS
    )


def _steps_of_most(relation: Relation, rows: pa.Table) -> Relation | None:
    """Return a step function with the steps of most rows, the others are exceptions."""
    columns = (relation.columns[0], relation.last)
    x, y = (as_floats(array(rows, name)) for name in columns)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    # Of rows with the same number, the most frequent step counts.
    pairs, counts = np.unique(np.stack([x, y]), axis=1, return_counts=True)
    order = np.lexsort((-counts, pairs[0]))
    first = order[np.flatnonzero(np.diff(pairs[0][order], prepend=np.nan) != 0)]
    x_values, y_values = pairs[0][first], pairs[1][first]
    rises = relation.values[-1] > relation.values[0]
    kept = _longest_rise(y_values if rises else -y_values)
    is_kept = np.isin(x, x_values[kept])
    expected = dict(zip(x_values[kept].tolist(), y_values[kept].tolist(), strict=True))
    is_kept[is_kept] = [
        expected[a] == b for a, b in zip(x[is_kept].tolist(), y[is_kept].tolist(), strict=True)
    ]
    fitted = fit_steps(columns, x[is_kept], y[is_kept])
    return fitted and replace(fitted, exceptions=True, decimals=relation.decimals)


def _longest_rise(values: Floats) -> list[int]:
    """Return the indices of the longest subsequence that never falls."""
    ends: list[float] = []  # the smallest last value of a subsequence of each length
    last: list[int] = []  # its index
    before = [-1] * len(values)
    for i, value in enumerate(values.tolist()):
        length = bisect_right(ends, value)
        before[i] = last[length - 1] if length else -1
        if length == len(ends):
            ends.append(value)
            last.append(i)
        else:
            ends[length], last[length] = value, i
    index, result = last[-1] if last else -1, []
    while index >= 0:
        result.append(index)
        index = before[index]
    return result[::-1]
