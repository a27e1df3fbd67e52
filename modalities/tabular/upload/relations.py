"""Relations between the columns of a table, in its profile."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from modalities.tabular.schema import Column, Schema
from modalities.tabular.typed_parquet import TypedParquet
from models.tabular.relations.date_gaps import find_near_dates
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.joined_text_search import find_joined_texts
from models.tabular.relations.joined_texts import JoinedText
from models.tabular.relations.near_relations import find_near_columns
from models.tabular.relations.near_sums import find_near_sums
from models.tabular.relations.planning import independent_relations, plan_coding

EXAMINED_ROWS = 50_000  # in memory at a time; training examines all of its rows


def search_joined_texts(rows: TypedParquet, schema: Schema) -> list[JoinedText]:
    """Return the texts of the first EXAMINED_ROWS that consist of other columns."""
    columns, table = _examined(rows, schema)
    return find_joined_texts(table, {column.name: column.type for column in columns})


def find_relations(
    rows: TypedParquet, schema: Schema, joined_texts: Sequence[JoinedText]
) -> list[dict[str, Any]]:
    """Return the relations between columns that hold in the first EXAMINED_ROWS.

    The near relations by which a training would code columns follow, and then the `joined_texts`.
    """
    columns, table = _examined(rows, schema)
    if not columns:
        return []
    types = {column.name: column.type for column in columns if column.learned}
    relations = detect_relations(table, types)
    coding = plan_coding(relations, table, ())
    coded = coding.names
    sums = find_near_sums(table, types, coded, relations)
    sums += find_near_dates(table, types, relations, coded)
    near = find_near_columns(
        table, types, coded.union(each.last for each in sums), (), coding.learned
    )
    exact = [relation.to_dict() for relation in independent_relations(relations, table)]
    return exact + [each.to_dict() for each in (*near, *sums, *joined_texts)]


def _examined(rows: TypedParquet, schema: Schema) -> tuple[tuple[Column, ...], pa.Table]:
    """Return the columns of samples and their first EXAMINED_ROWS."""
    columns = tuple(column for column in schema.columns if column.in_samples)
    if not columns:
        return (), pa.table({})
    return columns, pa.Table.from_batches([rows.slice(columns, 0, EXAMINED_ROWS)])
