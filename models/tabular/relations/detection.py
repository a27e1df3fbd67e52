"""Search for relations that all rows with values satisfy and that chance does not explain."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, permutations

import numpy as np
import pyarrow as pa
import pyarrow.compute

from models.tabular.categorical_columns import Floats
from models.tabular.constraints.declarations import NUMERIC_TYPES
from models.tabular.numbers.grid import are_exact, is_numeric, rounded_decimals
from models.tabular.relations.dates.bounds import find_date_bounds
from models.tabular.relations.dates.calendar import (
    find_date_parts,
    find_spread_dates,
    find_valid_dates,
)
from models.tabular.relations.dates.gaps import (
    comparable_dates,
    find_date_sums,
    without_shifted_parts,
)
from models.tabular.relations.dates.lookups import find_date_lookups
from models.tabular.relations.dates.spread_dates import SpreadDate, with_dates
from models.tabular.relations.equations.detection import find_equations
from models.tabular.relations.equations.rare_terms import with_rare_terms
from models.tabular.relations.equations.sums import (
    find_coarser_totals,
    find_rounded_balances,
    find_rounded_sums,
)
from models.tabular.relations.equations.weighted_sums import find_weighted_sums
from models.tabular.relations.keyed.amounts import find_exact_keyed_amounts
from models.tabular.relations.keyed.decimals import find_decimals
from models.tabular.relations.keyed.factors import find_factors
from models.tabular.relations.keyed.offsets import find_offsets
from models.tabular.relations.lookups.discrete import (
    MAX_COMPARED_COLUMNS,
    MIN_EXPECTED_VIOLATIONS,
    find_distinct,
    find_lookups,
)
from models.tabular.relations.lookups.intervals import find_intervals
from models.tabular.relations.lookups.pairs import find_pair_lookups
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats
from models.tabular.relations.screened_numbers import (
    MIN_EVIDENCE_BITS,
    MIN_ROWS,
    ScreenedNumber,
    evidence_bits,
)

MAX_STEP_SHARE = 0.1  # distinct values of a step function, relative to the rows
TEMPORAL_TYPES = ("datetime", "time", "duration")
# Of an order of dates: most dates of a row are in order, and a wrong order excludes few rows.
MIN_EXPECTED_DATE_VIOLATIONS = 3.0
SCREENING_ROWS = 5_000  # yield candidates, which are then checked on all rows


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
    numbers = numbers_of(sample, types)
    dates = find_spread_dates(table, types)
    spread = comparable_dates(table, types, dates)
    sample, table = with_dates(sample, spread), with_dates(table, spread)
    moments = [*numbers, *(ScreenedNumber.of(sample, date.name) for date in spread)]
    equations = find_equations(moments)
    equations += find_date_sums(moments, numbers, _column_sets(equations))
    equations += find_date_parts(sample, numbers, dates)
    equations += find_weighted_sums(numbers, {relation.last for relation in equations})
    equations += find_coarser_totals(numbers, _column_sets(equations))
    related = _column_sets(equations)
    candidates = [*equations, *_orders(moments), *find_date_bounds(moments, numbers, related)]
    if not min_value_count:
        candidates += find_steps(table, numbers, {relation.columns for relation in equations})
        candidates += find_factors(sample, table, types, numbers, related)
    # Last, because these columns may be coded by an exact relation.
    candidates += find_rounded_sums(numbers, related)
    candidates += find_rounded_balances(numbers, _column_sets(candidates))
    candidates = _with_precision(candidates, table, moments)
    candidates = [_with_spread(relation, spread) for relation in candidates]
    plain = [number.name for number in numbers if number.is_plain]
    completed = (with_rare_terms(relation, table, plain) for relation in candidates)
    relations = [relation for relation in completed if relation.holds(table).all()]
    relations += find_lookups(table, types, min_value_count)
    related = _column_sets(relations)
    if not min_value_count:
        relations += find_date_lookups(table, types, dates, related)
        others = _column_sets(relations)
        relations += find_intervals(sample, table, types, numbers, others)
        relations += find_offsets(table, types, numbers, _column_sets(relations))
        relations += find_exact_keyed_amounts(table, types, relations)
    relations = without_shifted_parts(relations, table, spread)
    relations += find_pair_lookups(table, types, min_value_count, _column_sets(relations))
    if not min_value_count:
        in_relations = [each.columns for each in relations if each.kind != "distinct"]
        relations += find_decimals(table, types, numbers, set(chain.from_iterable(in_relations)))
    relations += find_valid_dates(dates, table)
    return relations + find_distinct(table, types, related)


def numbers_of(rows: pa.Table, types: Mapping[str, str]) -> list[ScreenedNumber]:
    """Return the columns of finite numbers that are exact as floats, dates, times and flags."""
    numbers = [
        ScreenedNumber.of(rows, name)
        for name, type in types.items()
        if _is_number(type, rows.schema.field(name).type) and are_exact(rows.column(name))
    ]
    return [number for number in numbers if not np.isinf(number.values).any()]


def _column_sets(relations: Iterable[Relation]) -> set[frozenset[str]]:
    return {frozenset(relation.columns) for relation in relations}


def _with_spread(relation: Relation, dates: Iterable[SpreadDate]) -> Relation:
    """Return the relation with those of its columns that are dates over columns."""
    return replace(relation, spread=tuple(d for d in dates if d.name in relation.columns))


def _with_precision(
    relations: Iterable[Relation], table: pa.Table, numbers: list[ScreenedNumber]
) -> list[Relation]:
    """Return the relations with the precision of the column that they determine or bound."""
    decimals = {n.name: rounded_decimals(array(table, n.name)) for n in numbers}
    digits = {number.name: number.digits for number in numbers}
    return [
        replace(relation, decimals=decimals[relation.last], digits=digits[relation.last])
        for relation in relations
    ]


def _is_number(type: str, arrow: pa.DataType) -> bool:
    """Return True for numbers, dates and times, and for flags."""
    is_ordered = type in (*NUMERIC_TYPES, *TEMPORAL_TYPES) and is_numeric(arrow)
    return is_ordered or bool(pa.types.is_boolean(arrow))


def _screened_rows(table: pa.Table) -> pa.Table:
    """Return a sample of the rows in their order: the first ones of a sorted table are alike."""
    if len(table) <= SCREENING_ROWS:
        return table
    chosen = np.random.default_rng(0).choice(len(table), SCREENING_ROWS, replace=False)
    return table.take(pa.array(np.sort(chosen)))


def find_steps(
    table: pa.Table, numbers: list[ScreenedNumber], excluded: set[tuple[str, ...]]
) -> Iterator[Relation]:
    """Yield monotone step functions of columns with many more values than steps."""
    compared = [number for number in numbers if not number.is_flag][:MAX_COMPARED_COLUMNS]
    for source, total in permutations(compared, 2):
        if (source.name, total.name) in excluded or not 2 <= total.distinct <= source.distinct / 2:
            continue
        columns = (source.name, total.name)
        if fit_steps(columns, source.values, total.values) is None:
            continue
        # Rows that were not screened may have further steps, or other positions of them.
        values = (as_floats(array(table, name)) for name in columns)
        if relation := fit_steps(columns, *values):
            yield relation


def fit_steps(columns: tuple[str, str], x: Floats, y: Floats) -> Relation | None:
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
    if evidence_bits(y) - len(changes) * math.log2(len(x)) < MIN_EVIDENCE_BITS:
        return None
    keys = (x[changes] + x[changes + 1]) / 2
    values = [y[0], *y[changes + 1]]
    return Relation("step", columns, keys=tuple(map(float, keys)), values=tuple(map(float, values)))


def _orders(numbers: list[ScreenedNumber]) -> Iterator[Relation]:
    temporal = [number for number in numbers if number.is_temporal][:MAX_COMPARED_COLUMNS]
    plain = [number for number in numbers if number.is_plain][:MAX_COMPARED_COLUMNS]
    for low, high in (*permutations(plain, 2), *permutations(temporal, 2)):
        if low.is_temporal and low.type != high.type:
            continue
        least = MIN_EXPECTED_DATE_VIOLATIONS if low.is_datetime else MIN_EXPECTED_VIOLATIONS
        if _is_order(low.values, high.values, least):
            yield Relation("order", (low.name, high.name))


def _is_order(low: Floats, high: Floats, min_expected_violations: float) -> bool:
    both_present = ~(np.isnan(low) | np.isnan(high))
    a, b = low[both_present], high[both_present]
    if len(a) < MIN_ROWS or (a > b).any() or not (a < b).any():
        return False
    return bool(np.searchsorted(np.sort(b), a).mean() > min_expected_violations)
