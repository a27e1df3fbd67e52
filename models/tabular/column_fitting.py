"""Fitting of the columns of a table: their types, order and tokens, and the labels of the rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import CategoricalColumn, Column, TokenLayout, Tokens
from models.tabular.numbers.columns import NumericColumn
from models.tabular.schema import ColumnSchema, UnsupportedColumn

LABEL_LAST_BELOW_ROWS = 5_000  # a numeric label comes last in smaller tables


def sort_rank(column: Column, target_column: str | None, num_rows: int) -> int:
    """Return the sort key of a column in sampling order.

    The label comes first, so that it can be conditioned on. A numeric label of a small table comes
    last: learning it from all other columns needs fewer rows than learning them from it.
    """
    if column.name != target_column:
        return 0
    is_binned = isinstance(column, NumericColumn) and column.layout.bins > 0
    return 1 if is_binned and num_rows < LABEL_LAST_BELOW_ROWS else -1


def keys_first(columns: Sequence[Column], keys: Mapping[str, str], first: int) -> list[Column]:
    """Return the columns with keys, and those that have one, moved after the `first` ones.

    `keys` maps names of columns to the names of their keys. Other columns depend on these. A key
    follows its columns, given which it is simpler to learn, unless no other column is before it.
    """
    ordered = list(columns[:first])
    for column in columns[first:]:
        if column.name in keys.values():
            determined = [each for each in columns if keys.get(each.name) == column.name]
            ordered += [*determined, column] if ordered else [column, *determined]
    moved = {column.name for column in ordered}
    return [*ordered, *(column for column in columns if column.name not in moved)]


def pairs_first(
    columns: Sequence[Column], pairs: Mapping[tuple[str, ...], Sequence[str]], first: int
) -> list[Column]:
    """Return the columns with pairs moved before what they determine, but not before `first` ones.

    Given both columns of a pair, there is nothing to learn about the others.
    """
    ordered = list(columns)
    for pair, names in pairs.items():
        place = max(first, min(i for i, each in enumerate(ordered) if each.name in names))
        late = [each for each in ordered[place:] if each.name in pair]
        others = [each for each in ordered[place:] if each.name not in pair]
        ordered = [*ordered[:place], *late, *others]
    return ordered


def column_types(
    arrow: pa.Schema, schema: Sequence[ColumnSchema], target_column: str | None
) -> dict[str, str]:
    """Return column types by name, in the order of the table. Raises UnsupportedColumn."""
    types = {column.name: column.type for column in schema if column.in_samples}
    for name in [*types, *([] if target_column is None else [target_column])]:
        if len(arrow.get_all_field_indices(name)) != 1:
            raise UnsupportedColumn(name, "must occur exactly once in the table")
    if target_column is not None and types.get(target_column, "id") == "id":
        raise UnsupportedColumn(
            target_column, "cannot be the target column, because it is not learned"
        )
    return {name: types[name] for name in arrow.names if name in types}


def column_values(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def row_labels(
    table: pa.Table,
    types: Mapping[str, str],
    target_column: str | None,
    min_value_count: int,
    seed: int,
) -> Tokens | None:
    """Return the labels of the rows, or None if there are none or too many."""
    if target_column is None or target_column not in types:
        return None
    values = column_values(table, target_column)
    column = fit_column(target_column, types[target_column], values, min_value_count)
    if column.layout.bins:
        return None
    return column.encode(values, np.random.default_rng(seed))[0]


def fit_column(
    name: str,
    type: str,
    values: pa.Array,
    min_value_count: int,
    labels: Tokens | None = None,
) -> Column:
    arrow = values.type
    if type in ("category", "boolean") or pa.types.is_null(arrow):
        try:
            return CategoricalColumn.fit(name, arrow, values, min_value_count)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UnsupportedColumn(
                name, f"values of type {arrow} cannot be converted to categories"
            ) from error
    return NumericColumn.fit(name, arrow, values, min_value_count, labels)


def unpack_column(
    metadata: Mapping[str, Any], arrow: pa.DataType, arrays: Mapping[str, NDArray[Any]], prefix: str
) -> Column:
    layout = TokenLayout.from_json(metadata["layout"])
    if metadata["kind"] == "category":
        categories = pa.array(metadata["categories"], pa.string())
        return CategoricalColumn(
            metadata["name"], arrow, categories, layout, tuple(metadata["counts"])
        )
    column_arrays = {
        name: arrays[f"{prefix}.{name}"]
        for name in ("exact_values", "lows", "highs", "ends", "bin_edges", "rank_midpoints")
    }
    return NumericColumn.unpack(metadata, layout, arrow, column_arrays)
