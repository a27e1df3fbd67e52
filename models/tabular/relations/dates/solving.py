"""Given dates of partial rows that are coded as distances from other dates."""

from collections.abc import Mapping
from typing import TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import have_same_text
from models.tabular.numbers.grid import NumberGrid
from models.tabular.relations.coded_columns import BoundedColumn, CodedColumn
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.dates.columns import DateGapColumn, PartColumn
from models.tabular.relations.dates.spread_dates import ticks_per_day, with_dates
from models.tabular.relations.rows import array, as_floats

Given = Mapping[str, NDArray[np.bool_]]


def add_spread_dates(
    coding: RelationCoding, values: dict[str, pa.Array], given: dict[str, NDArray[np.bool_]]
) -> None:
    """Add the dates over columns whose parts are given."""
    for name, date in coding.dates.items():
        if not all(part in values for part in date.columns):
            continue
        parts = [values[part] for part in date.columns]
        values[name] = date.values(pa.RecordBatch.from_arrays(parts, names=list(date.columns)))
        nulls = [part.is_null().to_numpy(zero_copy_only=False) for part in parts]
        is_missing = np.logical_and.reduce(nulls)
        has_date = values[name].is_valid().to_numpy(zero_copy_only=False)
        are_given = np.logical_and.reduce([given[part] for part in date.columns])
        given[name] = are_given & (has_date | is_missing)


def solve_gap(
    column: DateGapColumn, name: str, coded: pa.RecordBatch, rows: pa.RecordBatch
) -> pa.Array | None:
    """Return the values of source `name` that agree with the distance in `coded` in `rows`.

    They are null where they do not follow, as a number of days where the sum has exceptions.
    """
    index = rows.schema.get_field_index(column.name)
    mixed = rows.set_column(index, column.name, coded.column(column.name))
    distances, is_missing = column.distances(mixed)
    own, is_unknown = NumberGrid(rows.schema.field(index).type, 0).to_grid(rows.column(index))
    if name == column.other:
        arrow = rows.schema.field(name).type
        return NumberGrid(arrow, 0).from_grid(own - distances, is_missing | is_unknown)
    others, is_missing = NumberGrid(rows.schema.field(column.other).type, 0).to_grid(
        array(rows, column.other)
    )
    sign = 1 if column.name == column.relation.last else -1
    days = sign * (own - others) / column.relation.factor
    for term in column.relation.columns[1:-1]:
        days = days - (0.0 if term == name else as_floats(array(rows, term)))
    is_exact = np.equal(array(coded, column.name).fill_null(0).to_numpy(), column.mark)
    follows = is_exact & (days >= 0) & ~is_missing & ~is_unknown
    arrow = rows.schema.field(name).type
    return NumberGrid(arrow, 0).from_floats(np.where(follows, days, 0.0), ~follows)


def _is_distance(
    column: CodedColumn, coding: RelationCoding
) -> TypeGuard[BoundedColumn | DateGapColumn]:
    """Return True for a distance between dates, one of which may be spread over columns."""
    is_bounded_date = isinstance(column, BoundedColumn) and bool(
        coding.dates.keys() & {column.name, *column.sources}
    )
    return is_bounded_date or isinstance(column, DateGapColumn)


def with_given_distances(
    coding: RelationCoding, coded: pa.RecordBatch, rows: pa.RecordBatch, given: Given
) -> pa.RecordBatch:
    """Return `coded` with the exact distances of given dates from others that are given or solved.

    Tokens of a wide range of distances do not have them, nor do dates over columns have a time.
    """
    rows = with_dates(rows, coding.dates.values())
    nothing = np.zeros(len(rows), bool)
    for column in coding.columns:
        if _is_distance(column, coding):
            others = column.sources if isinstance(column, BoundedColumn) else (column.other,)
            index, arrow = coded.schema.get_field_index(column.name), rows.schema.field(column.name)
            exact = column.encode(rows, arrow.type)
            change = np.abs(as_floats(exact) - as_floats(coded.column(index)))
            is_close = change < ticks_per_day(arrow.type)
            are_given = np.logical_and.reduce([given.get(name, nothing) for name in others])
            mask = pa.array(given.get(column.name, nothing) & (are_given | is_close))
            values = pa.compute.if_else(mask, exact, coded.column(index))
            coded = coded.set_column(index, coded.schema.field(index), values)
    return coded


def has_given_dates(
    coding: RelationCoding, coded: pa.RecordBatch, rows: pa.RecordBatch, given: Given
) -> NDArray[np.bool_]:
    """Return the (N,) mask of `rows` whose given dates and parts of dates follow from `coded`.

    Otherwise a given value contradicts the distance that was sampled.
    """
    mask = np.ones(len(rows), bool)
    columns = (c for c in coding.columns if isinstance(c, PartColumn) or _is_distance(c, coding))
    names = [c.name for c in columns if c.name in given and c.name in rows.schema.names]
    if not names:
        return mask
    decoded = coding.decode(coded, rows.schema)
    for name in names:
        mask &= ~given[name] | have_same_text(decoded.column(name), rows.column(name))
    return mask
