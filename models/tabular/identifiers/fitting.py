"""Fitting of the identifier columns of a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from models.tabular.column_fitting import column_values
from models.tabular.identifiers.columns import IdColumn, Source
from models.tabular.identifiers.keyed_values import KeyedValues
from models.tabular.identifiers.missing_identifiers import MissingWith
from models.tabular.identifiers.people.email_ends import EmailEnds
from models.tabular.identifiers.places.place_ends import PlaceEnds
from models.tabular.identifiers.places.region_shapes import RegionShapes
from models.tabular.identifiers.places.regions import RegionPrefixes
from models.tabular.identifiers.restarting_numbers import RestartingNumbers, are_restarting
from models.tabular.identifiers.templates import Counter, TemplateSet
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.ways import REST
from models.tabular.schema import ColumnSchema


def fit_id_columns(
    table: pa.Table,
    schema: Sequence[ColumnSchema],
    names: Sequence[str],
    joined_texts: Sequence[JoinedText],
    min_value_count: int,
) -> Iterator[IdColumn]:
    """Yield the fitted columns `names` of a table; of joined texts, only their rest is fitted."""
    rests = {joined.column: joined.rests(table) for joined in joined_texts if joined.has_rest}
    kinds = {column.name: column.format for column in schema}
    learned = {column.name for column in schema if column.type == "category" and column.in_samples}
    learned -= {joined.column for joined in joined_texts}  # they follow the codes
    regions = {name: column_values(table, name) for name in table.schema.names if name in learned}
    # Columns that are drawn before an identifier; of identifiers, only where they are missing.
    joined = {each.column for each in joined_texts}
    earlier = {
        column.name: column_values(table, column.name)
        for column in schema
        if column.in_samples
        and column.name in table.column_names
        and column.name not in {*names, *joined}
    }
    for name in names:
        arrow = table.schema.field(name).type
        if name in rests:
            joined_text = next(each for each in joined_texts if each.column == name)
            kind = rest_kind(joined_text, rests[name], schema)
            id_column = IdColumn.fit(name, arrow, rests[name], min_value_count, kind)
            source = _within_digits(id_column.source, rests[name])
            id_column = replace(id_column, source=source, rows_per_value=1)
            if not min_value_count:
                values = column_values(table, name)
                missing_with = MissingWith.fit(values, earlier)
                keyed = KeyedValues.fit(values, regions)
                numbers = _restarting_numbers(joined_text, table, regions)
                id_column = replace(
                    id_column, missing_with=missing_with, keyed=keyed, numbers=numbers
                )
            yield id_column
            continue
        values = column_values(table, name)
        id_column = IdColumn.fit(name, arrow, values, min_value_count, kinds[name])
        if not min_value_count:
            prefixes = RegionPrefixes.fit(name, values, regions)
            shapes = RegionShapes.fit(name, values, regions)
            are_texts = pa.types.is_string(arrow) and isinstance(id_column.source, TemplateSet)
            ends = PlaceEnds.fit(values, regions) if are_texts and kinds[name] is None else None
            missing_with = MissingWith.fit(values, earlier)
            keyed = KeyedValues.fit(values, regions)
            earlier[name] = pc.if_else(values.is_valid(), True, pa.scalar(None, pa.bool_()))
            id_column = replace(
                id_column,
                prefixes=prefixes,
                shapes=shapes,
                missing_with=missing_with,
                keyed=keyed,
                ends=ends,
            )
        yield id_column


def _within_digits(source: Source, rest: pa.Array) -> Source:
    """Return a counter that keeps the number of digits if all rests have the same.

    Next to a date or another column, numbers may repeat: those of each day start again.
    """
    lengths = pc.min_max(pc.utf8_length(rest)).as_py()
    if not isinstance(source, Counter) or lengths["min"] != lengths["max"]:
        return source
    return replace(source, digits=lengths["max"])


def _restarting_numbers(
    joined: JoinedText, table: pa.Table, regions: Mapping[str, pa.Array]
) -> RestartingNumbers | None:
    """Return the range of the numbers next to the only other part, if they restart with it."""
    rest, other = joined.rest(table), joined.others[0]
    has_one_part = len(joined.others) == joined.ways.count(REST) == 1
    if not has_one_part or other not in regions or not are_restarting(rest):
        return None
    return RestartingNumbers.fit(rest, other, regions[other])


def rest_kind(joined: JoinedText, rest: pa.Array, schema: Sequence[ColumnSchema]) -> str | None:
    """Return the kind of what the other columns do not determine: ends of addresses, or numbers.

    Next to a new name, it may repeat, and so may a number that counts up for each of the other
    parts, such as that of a district of a state. Otherwise it is as unique as the whole text:
    codes, or None.
    """
    if joined.ways.count(REST) > 1:
        return "code"
    identifiers = {column.name for column in schema if column.type == "id"} - {joined.column}
    if not joined.has_new_part(identifiers):
        return "quantity" if are_restarting(rest) else None
    first = rest.drop_null().slice(0, 1).to_pylist()
    return "email_end" if EmailEnds.fit(first) is not None else "quantity"
