"""Checks of constraints on rows, and detection of constraints that a table satisfies."""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise, permutations

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.constraints import DISCRETE_TYPES, NUMERIC_TYPES, Constraint

MAX_COMPARED_COLUMNS = 40  # compared pairwise, of each type
MAX_SUM_COLUMNS = 16  # numeric columns tested for sums
MIN_ROWS = 50  # fewer rows are too little evidence
MAX_DECIMALS = 9
SCREENING_ROWS = 5_000  # the first rows yield candidates, which are then checked on all rows


def satisfies(constraint: Constraint, rows: pa.Table | pa.RecordBatch) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows that satisfy `constraint`.

    Only `inequality` and `sum` can be checked row by row; the other kinds return all True. Missing
    values satisfy both.
    """
    mask = np.ones(len(rows), bool)
    if constraint.kind == "inequality":
        for low, high in pairwise(constraint.columns):
            ordered = pa.compute.less_equal(rows.column(low), rows.column(high))
            mask &= np.asarray(ordered.fill_null(True))
    if constraint.kind == "sum":
        assert constraint.total is not None  # noqa: S101 - `parse_constraints` requires it
        computed = _floats(column_sum(constraint, rows))
        actual = _floats(rows.column(constraint.total))
        magnitude = np.maximum(np.abs(computed), 1.0)
        mask &= ~(np.abs(computed - actual) > 1e-9 * magnitude)
    return mask


def column_sum(constraint: Constraint, rows: pa.Table | pa.RecordBatch) -> pa.Array:
    """Return the sum of the constraint's columns.

    Floats are rounded to MAX_DECIMALS, which removes the rounding errors of the addition.
    """
    total = rows.column(constraint.columns[0])
    for name in constraint.columns[1:]:
        total = pa.compute.add(total, rows.column(name))
    if not pa.types.is_floating(total.type):
        return total
    # np.round ends with a division, whose result is the float nearest to the decimal number.
    return pa.array(np.round(_floats(total), MAX_DECIMALS), from_pandas=True)


def add_totals(
    rows: pa.RecordBatch, constraints: Sequence[Constraint], arrow: pa.Schema
) -> pa.RecordBatch:
    """Return the rows with the totals of `sum` constraints, in the column order of `arrow`."""
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    for constraint in constraints:
        if constraint.total is not None:
            columns[constraint.total] = column_sum(constraint, rows).cast(
                arrow.field(constraint.total).type, safe=False
            )
    fields = [field for field in arrow if field.name in columns]
    return pa.RecordBatch.from_arrays(
        [columns[field.name] for field in fields], schema=pa.schema(fields)
    )


def detect_constraints(table: pa.Table, types: Mapping[str, str]) -> list[Constraint]:
    """Detect constraints that all rows satisfy and that chance does not explain.

    `types` maps column names to types. Detected constraints are suggestions: only declared ones are
    enforced.
    """
    sample = table.slice(0, SCREENING_ROWS)
    if len(sample) < MIN_ROWS:
        return []
    candidates = [
        *_inequalities(sample, types),
        *_functional_dependencies(sample, types),
        *_sums(sample, types),
    ]
    return [constraint for constraint in candidates if _holds(constraint, table)]


def _holds(constraint: Constraint, table: pa.Table) -> bool:
    if constraint.kind == "fixed_combinations":
        return _is_functional_dependency(table, *constraint.columns)
    return bool(satisfies(constraint, table).all())


def _inequalities(table: pa.Table, types: Mapping[str, str]) -> list[Constraint]:
    numbers = [name for name, type in types.items() if type in NUMERIC_TYPES][:MAX_COMPARED_COLUMNS]
    groups = [numbers] + [
        [name for name, type in types.items() if type == time_type][:MAX_COMPARED_COLUMNS]
        for time_type in ("datetime", "time", "duration")
    ]
    values = {name: _floats(table.column(name)) for group in groups for name in group}
    pairs = [pair for group in groups for pair in permutations(group, 2)]
    return [
        Constraint("inequality", pair)
        for pair in pairs
        if _is_inequality(*(values[name] for name in pair))
    ]


def _functional_dependencies(table: pa.Table, types: Mapping[str, str]) -> list[Constraint]:
    names = [name for name, type in types.items() if type in DISCRETE_TYPES][:MAX_COMPARED_COLUMNS]
    return [
        Constraint("fixed_combinations", pair)
        for pair in combinations(names, 2)
        if _is_functional_dependency(table, *pair)
    ]


def _is_inequality(low: Floats, high: Floats) -> bool:
    """Return True if low <= high in all rows, < in some, although their ranges overlap."""
    both_present = ~(np.isnan(low) | np.isnan(high))
    a, b = low[both_present], high[both_present]
    if len(a) < MIN_ROWS or not (a <= b).all():
        return False
    # If the columns were independent, more than one row would be expected to violate the order.
    return bool((a < b).any() and np.searchsorted(np.sort(b), a).mean() > 1)


def _is_functional_dependency(table: pa.Table, a: str, b: str) -> bool:
    """Return True if each value of one column occurs with a single value of the other."""
    distinct_counts = [
        pa.compute.count_distinct(table.column(name), mode="all").as_py() for name in (a, b)
    ]
    if min(distinct_counts) < 2 or max(distinct_counts) > len(table) // 5:
        return False
    return bool(
        table.select([a, b]).group_by([a, b]).aggregate([]).num_rows == max(distinct_counts)
    )


def _sums(table: pa.Table, types: Mapping[str, str]) -> list[Constraint]:
    names = [name for name, type in types.items() if type in NUMERIC_TYPES][:MAX_SUM_COLUMNS]
    values = {name: _floats(table.column(name)) for name in names}
    varied = [
        name
        for name in names
        if len(np.unique(values[name])) > 2 and not np.isnan(values[name]).any()
    ]
    constraints = []
    for a, b in combinations(varied, 2):
        computed = values[a] + values[b]
        magnitude = np.maximum(np.abs(computed), 1.0)
        constraints += [
            Constraint("sum", (a, b), total)
            for total in varied
            if total not in (a, b)
            and not (np.abs(computed - values[total]) > 1e-9 * magnitude).any()
        ]
    return constraints


def _floats(column: pa.Array | pa.ChunkedArray) -> Floats:
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int64() if column.type.bit_width == 64 else pa.int32())
    return np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan), np.float64)
