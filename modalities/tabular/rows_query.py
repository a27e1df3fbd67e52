"""Rows of a table by filter and order, a page at a time."""

import difflib
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from core.datasets.errors import printable
from core.errors import ValidationFailed, json_pointer
from core.storage import Storage, StoredObject
from core.tables import Dataset
from modalities.tabular.formatting import to_json_values
from modalities.tabular.request_values import plain_conditions
from modalities.tabular.schema import Column, Schema
from modalities.tabular.typed_parquet import TypedParquet

OPERATORS = {
    "eq": pc.equal,
    "ne": pc.not_equal,
    "lt": pc.less,
    "lte": pc.less_equal,
    "gt": pc.greater,
    "gte": pc.greater_equal,
}
# Filters and orders read whole columns into memory.
MAX_ROWS = 2_000_000


def query_rows(
    dataset: Dataset,
    storage: Storage,
    *,
    where: Mapping[str, Any],
    order: str | None,
    offset: int,
    limit: int,
) -> tuple[list[dict[str, Any]], int]:
    """Return a page of rows with their `index`, and the number of rows that match `where`.

    `where` has the form of a condition on samples. `order` is the name of a column, or `-` and
    the name for the largest values first. Missing values come last.

    Raises:
        ValidationFailed: There is no such column, or a value does not fit its type.
    """
    schema = Schema.from_dict(dataset.summary)
    columns = tuple(column for column in schema.columns if not column.exclude)
    by_name = {column.name: column for column in columns}
    descending = order is not None and order not in by_name  # a name may begin with `-`
    order_name = order.removeprefix("-") if order is not None and descending else order
    for pointer, name in [
        *((json_pointer("where", name), name) for name in where),
        *([("/sort", order_name)] if order_name is not None else []),
    ]:
        if name not in by_name:
            raise _unknown_column(pointer, name, list(by_name))
    if (where or order_name) and dataset.summary["rows"] > MAX_ROWS:
        raise ValidationFailed(
            f"Filters and orders are available up to {MAX_ROWS} rows. Remove `where` and `sort`.",
            limit=MAX_ROWS,
        )
    with storage.open(StoredObject.from_dict(dataset.objects["rows"])) as path:
        rows = TypedParquet(path)
        if not where and order_name is None:
            batch = rows.slice(columns, offset, limit)
            return _records(batch, columns, list(range(offset, offset + len(batch)))), rows.rows
        indices = _matching(rows, by_name, plain_conditions(columns, where))
        if order_name is not None:
            values = pa.concat_arrays(_chunks(rows, by_name[order_name])).take(indices)
            direction = "descending" if descending else "ascending"
            indices = indices.take(
                pc.array_sort_indices(values, order=direction, null_placement="at_end")
            )
        page = indices.slice(offset, limit).to_pylist()
        return _records(rows.take(columns, page), columns, page), len(indices)


def _matching(rows: TypedParquet, by_name: Mapping[str, Column], where: Mapping[str, Any]) -> Any:
    """Return the indices of the rows that satisfy all conditions."""
    mask = pa.array([True] * rows.rows)
    for name, spec in where.items():
        values = pa.concat_arrays(_chunks(rows, by_name[name]))
        if isinstance(spec, Mapping) and (not spec or spec.keys() - OPERATORS.keys()):
            message = f"A range needs one or more of the operators {', '.join(OPERATORS)}."
            raise ValidationFailed.of_field(
                json_pointer("where", name), "not_allowed", message, tuple(OPERATORS)
            )
        try:
            matches = _compare(values, spec)
        except (
            pa.ArrowInvalid,
            pa.ArrowNotImplementedError,
            pa.ArrowTypeError,
            OverflowError,  # an integer of more than 64 bits
        ) as error:
            message = f"The value does not fit the column, which has the type {by_name[name].type}."
            raise ValidationFailed.of_field(
                json_pointer("where", name), "invalid", message
            ) from error
        mask = pc.and_(mask, pc.fill_null(matches, False))
    return pc.indices_nonzero(mask)


def _compare(values: pa.Array, spec: Any) -> Any:
    if spec is None:
        return pc.is_null(values)
    if isinstance(spec, list):
        present = [value for value in spec if value is not None]
        matches = pc.is_in(values, pa.array(present).cast(_plain(values.type)))
        return pc.or_(matches, pc.is_null(values)) if None in spec else matches
    if isinstance(spec, Mapping):
        parts = [
            OPERATORS[name](values, _scalar(value, values.type)) for name, value in spec.items()
        ]
        return reduce(pc.and_, parts)
    return pc.equal(values, _scalar(spec, values.type))


def _plain(type: pa.DataType) -> pa.DataType:
    return type.value_type if pa.types.is_dictionary(type) else type


def _scalar(value: Any, type: pa.DataType) -> pa.Scalar:
    return pa.scalar(value).cast(_plain(type))


def _chunks(rows: TypedParquet, column: Column) -> list[pa.Array]:
    chunks = list(rows.column(column))
    return [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in chunks]


def _records(
    batch: pa.RecordBatch, columns: Sequence[Column], indices: Sequence[int]
) -> list[dict[str, Any]]:
    values = [to_json_values(batch.column(i), column) for i, column in enumerate(columns)]
    names = [column.name for column in columns]
    return [
        {"index": index, "values": dict(zip(names, row, strict=True))}
        for index, row in zip(indices, zip(*values, strict=True), strict=True)
    ]


def _unknown_column(pointer: str, name: str, names: Sequence[str]) -> ValidationFailed:
    similar = difflib.get_close_matches(name, names, 3) or names[:20]
    message = f"The table has no column `{printable(name)}`."
    allowed = tuple(map(printable, similar))
    return ValidationFailed.of_field(pointer, "unknown_column", message, allowed)
