"""Rows and the constraints that they keep to: those declared with a job, and those found in its table."""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise, permutations

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.constraints import DISCRETE_TYPES, NUMERIC_TYPES, Constraint

MAX_COMPARED_COLUMNS = 40  # that are compared with each other to find constraints
MAX_SUM_COLUMNS = 16  # numbers that are looked at for sums
MIN_ROWS = 50  # that say anything of a constraint
MAX_DECIMALS = 9
SCREENING_ROWS = 5_000  # rows, of which what is found is tried on all the others


def satisfies(constraint: Constraint, rows: pa.Table | pa.RecordBatch) -> NDArray[np.bool_]:
    """(N,), of inequality and sum; of the others nothing can be told from a row alone."""
    held = np.ones(len(rows), bool)
    if constraint.kind == "inequality":
        for low, high in pairwise(constraint.columns):
            fine = pa.compute.less_equal(rows.column(low), rows.column(high))
            held &= np.asarray(fine.fill_null(True))
    if constraint.kind == "sum":
        assert constraint.total is not None  # noqa: S101 - a sum has one
        made, there = _floats(column_sum(constraint, rows)), _floats(rows.column(constraint.total))
        size = np.maximum(np.abs(made), 1.0)
        held &= ~(np.abs(made - there) > 1e-9 * size)
    return held


def column_sum(constraint: Constraint, rows: pa.Table | pa.RecordBatch) -> pa.Array:
    """Decimals that adding makes up are rounded away."""
    total = rows.column(constraint.columns[0])
    for name in constraint.columns[1:]:
        total = pa.compute.add(total, rows.column(name))
    if not pa.types.is_floating(total.type):
        return total
    # By a division, whose result is the number that has these decimals.
    return pa.array(np.round(_floats(total), MAX_DECIMALS), from_pandas=True)


def add_totals(
    rows: pa.RecordBatch, constraints: Sequence[Constraint], arrow: pa.Schema
) -> pa.RecordBatch:
    """Rows with the totals that their sums make, in the order of the columns of `arrow`."""
    made = dict(zip(rows.schema.names, rows.columns, strict=True))
    for constraint in constraints:
        if constraint.total is not None:
            made[constraint.total] = column_sum(constraint, rows).cast(
                arrow.field(constraint.total).type, safe=False
            )
    fields = [field for field in arrow if field.name in made]
    return pa.RecordBatch.from_arrays([made[f.name] for f in fields], schema=pa.schema(fields))


def detect_constraints(table: pa.Table, types: Mapping[str, str]) -> list[Constraint]:
    """Rules that all rows keep to and that chance does not explain; none is in force unless it is
    declared. `types` by column."""
    looked_at = table.slice(0, SCREENING_ROWS)
    if len(looked_at) < MIN_ROWS:
        return []
    found = [*_orders(looked_at, types), *_mappings(looked_at, types), *_sums(looked_at, types)]
    return [constraint for constraint in found if _is_kept(constraint, table)]


def _is_kept(constraint: Constraint, table: pa.Table) -> bool:
    if constraint.kind == "fixed_combinations":
        return _is_mapping(table, *constraint.columns)
    return bool(satisfies(constraint, table).all())


def _orders(table: pa.Table, types: Mapping[str, str]) -> list[Constraint]:
    numbers = [name for name, kind in types.items() if kind in NUMERIC_TYPES][:MAX_COMPARED_COLUMNS]
    times = [name for name, kind in types.items() if kind == "datetime"][:MAX_COMPARED_COLUMNS]
    values = {name: _floats(table.column(name)) for name in (*numbers, *times)}
    pairs = [*permutations(numbers, 2), *permutations(times, 2)]
    return [
        Constraint("inequality", pair) for pair in pairs if _is_order(*(values[n] for n in pair))
    ]


def _mappings(table: pa.Table, types: Mapping[str, str]) -> list[Constraint]:
    names = [name for name, kind in types.items() if kind in DISCRETE_TYPES][:MAX_COMPARED_COLUMNS]
    return [
        Constraint("fixed_combinations", pair)
        for pair in combinations(names, 2)
        if _is_mapping(table, *pair)
    ]


def _is_order(low: Floats, high: Floats) -> bool:
    """Whether one is at most the other although their ranges overlap, and not always the same."""
    there = ~(np.isnan(low) | np.isnan(high))
    a, b = low[there], high[there]
    if len(a) < MIN_ROWS or not (a <= b).all():
        return False
    # Were they independent, several pairs would be the other way round.
    return bool((a < b).any() and np.searchsorted(np.sort(b), a).mean() > 1)


def _is_mapping(table: pa.Table, one: str, other: str) -> bool:
    """Whether each value of one of them goes with a single value of the other."""
    sizes = [
        pa.compute.count_distinct(table.column(name), mode="all").as_py() for name in (one, other)
    ]
    if min(sizes) < 2 or max(sizes) > len(table) // 5:
        return False
    return bool(
        table.select([one, other]).group_by([one, other]).aggregate([]).num_rows == max(sizes)
    )


def _sums(table: pa.Table, types: Mapping[str, str]) -> list[Constraint]:
    names = [name for name, kind in types.items() if kind in NUMERIC_TYPES][:MAX_SUM_COLUMNS]
    values = {name: _floats(table.column(name)) for name in names}
    varied = [n for n in names if len(np.unique(values[n])) > 2 and not np.isnan(values[n]).any()]
    found = []
    for one, other in combinations(varied, 2):
        made = values[one] + values[other]
        size = np.maximum(np.abs(made), 1.0)
        found += [
            Constraint("sum", (one, other), total)
            for total in varied
            if total not in (one, other) and not (np.abs(made - values[total]) > 1e-9 * size).any()
        ]
    return found


def _floats(column: pa.Array | pa.ChunkedArray) -> Floats:
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int64() if column.type.bit_width == 64 else pa.int32())
    return np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan), np.float64)
