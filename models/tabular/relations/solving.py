"""Changes to rows whose given values follow from values that are not given."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.numbers.grid import NumberGrid
from models.tabular.relations.close_columns import CloseColumn
from models.tabular.relations.coded_columns import BoundedColumn, DerivedColumn, RemainderColumn
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.near_columns import NearColumn
from models.tabular.relations.relation import Relation, array, as_floats
from models.tabular.relations.week_columns import WeekColumn

EDGE = 1e-6  # by which numbers stay inside the interval of those that are rounded to the same one


def solve_sources(
    coding: RelationCoding,
    coded: pa.RecordBatch,
    rows: pa.RecordBatch,
    given: Mapping[str, NDArray[np.bool_]],
    decimals: Mapping[str, int],
    only_single: NDArray[np.bool_] | bool,
) -> pa.RecordBatch:
    """Return `coded` with the sources of given coded columns changed to agree with them.

    `rows` are the decoded rows with the given values. Where these do not agree yet, the last source
    that is not given is changed, or the columns from which it follows. `decimals` are those of the
    columns with floats. In rows of the mask `only_single` (N,), a source is changed only if a
    single value of it agrees: of several ones, one should be sampled.
    """
    arrays = dict(zip(coded.schema.names, coded.columns, strict=True))
    nothing = np.zeros(len(coded), bool)
    solved_rows = dict.fromkeys(coding.names, nothing)
    for column in reversed(coding.columns):
        # A column that is coded relative to others may have any value.
        is_solved = solved_rows[column.name]
        if is_solved.any() and column.name in arrays and not isinstance(column, DerivedColumn):
            exact = column.encode(rows, rows.schema.field(column.name).type)
            mask = pa.array(is_solved)
            arrays[column.name] = pa.compute.if_else(mask, exact, arrays[column.name])
            continue
        if isinstance(column, NearColumn | CloseColumn | WeekColumn):
            continue
        is_open = is_solved | given.get(column.name, nothing)
        if not isinstance(column, BoundedColumn):
            is_open &= ~column.relation.holds(rows)
        last_first = tuple(reversed(column.sources))
        # Coded sources follow from the others, so these are changed first.
        for name in sorted(last_first, key=coding.names.__contains__):
            is_changed = is_open & ~given.get(name, nothing)
            if name not in rows.schema.names or not is_changed.any():
                continue
            index = rows.schema.get_field_index(name)
            if (solution := _solve(column, name, coded, rows, decimals)) is None:
                continue
            values, is_single = solution
            is_changed &= values.is_valid().to_numpy(zero_copy_only=False)
            is_changed &= is_single | np.logical_not(only_single)
            mask = pa.array(is_changed)
            values = pa.compute.if_else(mask, values, rows.column(index))
            rows = rows.set_column(index, rows.schema.field(index), values)
            if name in coding.names:
                solved_rows[name] = solved_rows[name] | is_changed
            else:
                arrays[name] = pa.compute.if_else(mask, values, arrays[name])
            is_open &= ~is_changed
    return pa.RecordBatch.from_arrays(
        [arrays[name] for name in coded.schema.names], schema=coded.schema
    )


def follow_dates(
    coding: RelationCoding, rows: pa.RecordBatch, given: Mapping[str, NDArray[np.bool_]]
) -> pa.RecordBatch:
    """Return rows whose days of the week fit dates that are spread over columns.

    Where a date is given that no training row has, the sampled day is that of another one.
    """
    for relation in coding.checked:
        if not relation.roles or relation.kind == "valid_date":
            continue
        index = rows.schema.get_field_index(relation.last)
        field, values = rows.schema.field(index), rows.column(index)
        computed = DerivedColumn(relation.last, relation, 0, omitted=False).decode(rows, field.type)
        is_given = pa.array(given.get(relation.last, np.zeros(len(rows), bool)))
        rows = rows.set_column(index, field, pa.compute.if_else(is_given, values, computed))
    return rows


def _solve(
    column: DerivedColumn | RemainderColumn | BoundedColumn,
    name: str,
    coded: pa.RecordBatch,
    rows: pa.RecordBatch,
    decimals: Mapping[str, int],
) -> tuple[pa.Array, NDArray[np.bool_]] | None:
    """Return the values of source `name` that agree with `column` in `rows`, if they follow.

    Of several values that agree because the column is rounded, the one next to that in `rows`. Also
    return the (N,) mask of rows in which only one agrees.
    """
    arrow = rows.schema.field(name).type
    if isinstance(column, BoundedColumn):
        values = array(rows, column.name)
        if len(column.sources) > 1 or arrow != values.type:
            return None
        grid = NumberGrid(arrow, column.decimals)
        numbers, is_missing = grid.to_grid(values)
        distances = array(coded, column.name)
        distance, no_distance = NumberGrid(distances.type, min(column.decimals, 0)).to_grid(
            distances
        )
        bound = numbers + np.abs(distance) if column.upper else numbers - np.abs(distance)
        return grid.from_grid(bound, is_missing | no_distance), np.ones(len(rows), bool)
    relation = column.relation
    if not relation.can_solve(name):
        return None
    digits = decimals.get(name, column.decimals) if pa.types.is_floating(arrow) else 0
    unit = 10.0**-digits if digits >= 0 else 0.0
    ends = [relation.solve(_shifted(rows, relation, side), name) for side in (-0.5, 0.5)]
    is_missing = ~(np.isfinite(ends[0]) & np.isfinite(ends[1]))
    low, high = np.where(is_missing, 0.0, np.sort(ends, axis=0))
    if unit:  # multiples of it, if there are some between the ends
        inner = np.ceil(low / unit - EDGE) * unit, np.floor(high / unit + EDGE) * unit
        has_inner = inner[0] <= inner[1] + unit * EDGE
        low, high = np.where(has_inner, inner, (low + high) / 2)
    numbers = np.clip(np.nan_to_num(as_floats(array(rows, name))), low, high)
    is_single = np.asarray(high - low <= EDGE * unit)
    return NumberGrid(arrow, digits).from_floats(numbers, is_missing), is_single


def _shifted(rows: pa.RecordBatch, relation: Relation, units: float) -> pa.RecordBatch:
    """Return rows whose last number of the relation is larger by some units of its last decimal.

    Numbers that are not rounded are as they are.
    """
    if relation.decimals < 0 or relation.digits:
        return rows
    index = rows.schema.get_field_index(relation.last)
    margin = units * (1 - EDGE) * 10.0**-relation.decimals
    shifted = pa.array(as_floats(rows.column(index)) + margin, pa.float64())
    return rows.set_column(index, relation.last, shifted)
