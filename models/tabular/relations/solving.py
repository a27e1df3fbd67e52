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
from models.tabular.relations.relation import array
from models.tabular.relations.week_columns import WeekColumn


def solve_sources(
    coding: RelationCoding,
    coded: pa.RecordBatch,
    rows: pa.RecordBatch,
    given: Mapping[str, NDArray[np.bool_]],
) -> pa.RecordBatch:
    """Return `coded` with the sources of given coded columns changed to agree with them.

    `rows` are the decoded rows with the given values. Only columns that are neither coded nor given
    are changed.
    """
    arrays = dict(zip(coded.schema.names, coded.columns, strict=True))
    nothing = np.zeros(len(coded), bool)
    for column in coding.columns:
        # Any two values of near columns agree with each other, and weekdays of dates are given.
        if isinstance(column, NearColumn | CloseColumn | WeekColumn):
            continue
        is_given = given.get(column.name, nothing)
        free = [name for name in column.sources if name in arrays and name not in coding.names]
        for name in free:
            is_changed = is_given & ~given.get(name, nothing)
            if is_changed.any() and (solved := _solve(column, name, coded, rows)) is not None:
                mask = pa.compute.and_(pa.array(is_changed), solved.is_valid())
                arrays[name] = pa.compute.if_else(mask, solved, arrays[name])
                break
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
) -> pa.Array | None:
    """Return the values of source `name` that agree with `column` in `rows`, if they follow."""
    arrow = coded.schema.field(name).type
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
        return grid.from_grid(bound, is_missing | no_distance)
    if not column.relation.can_solve(name):
        return None
    numbers = column.relation.solve(rows, name)
    is_missing = ~np.isfinite(numbers)
    grid = NumberGrid(arrow, 0 if pa.types.is_integer(arrow) else column.decimals)
    return grid.from_floats(np.where(is_missing, 0.0, numbers), is_missing)
