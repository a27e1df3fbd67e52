"""Fitting of the identifier columns of a table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from models.tabular.column_fitting import column_values
from models.tabular.id_columns import IdColumn
from models.tabular.id_email_ends import EmailEnds
from models.tabular.id_regions import RegionPrefixes
from models.tabular.joined_texts import JoinedText
from models.tabular.schema import ColumnSchema


def fit_id_columns(
    table: pa.Table,
    schema: Sequence[ColumnSchema],
    names: Sequence[str],
    joined_texts: Sequence[JoinedText],
    min_value_count: int,
) -> Iterator[IdColumn]:
    """Yield the fitted columns `names` of a table; of joined texts, only their rest is fitted."""
    rests = {joined.column: joined.rest(table) for joined in joined_texts if joined.has_rest}
    identifiers = {column.name for column in schema if column.type == "id"}
    # Next to a new name, the rest need not be new; otherwise, it is as unique as the whole text.
    rest_kinds = {
        joined.column: _rest_kind(rests[joined.column])
        if joined.has_new_part(identifiers - {joined.column})
        else None
        for joined in joined_texts
        if joined.has_rest
    }
    kinds = {column.name: column.format for column in schema}
    learned = {column.name for column in schema if column.type == "category" and column.in_samples}
    learned -= {joined.column for joined in joined_texts}  # they follow the codes
    regions = {name: column_values(table, name) for name in table.schema.names if name in learned}
    for name in names:
        arrow = table.schema.field(name).type
        if name in rests:
            kind = rest_kinds[name]
            id_column = IdColumn.fit(name, arrow, rests[name], min_value_count, kind)
            yield replace(id_column, rows_per_value=1)
            continue
        values = column_values(table, name)
        id_column = IdColumn.fit(name, arrow, values, min_value_count, kinds[name])
        prefixes = None if min_value_count else RegionPrefixes.fit(name, values, regions)
        yield replace(id_column, prefixes=prefixes)


def _rest_kind(rest: pa.Array) -> str:
    """Return the kind of the values that no column determines: ends of addresses, or numbers."""
    first = rest.drop_null().slice(0, 1).to_pylist()
    return "email_end" if EmailEnds.fit(first) is not None else "quantity"
