"""Relations between the columns of a table, in its profile."""

from typing import Any

import pyarrow as pa

from modalities.tabular.schema import Schema
from modalities.tabular.typed_parquet import TypedParquet
from models.tabular.near_relations import find_near_columns
from models.tabular.relation_detection import detect_relations
from models.tabular.relation_planning import independent_relations, plan_coding

EXAMINED_ROWS = 50_000  # in memory at a time; training examines all of its rows


def find_relations(rows: TypedParquet, schema: Schema) -> list[dict[str, Any]]:
    """Return the relations between learned columns that hold in the first EXAMINED_ROWS.

    The near relations by which a training would code columns follow.
    """
    columns = tuple(column for column in schema.columns if column.learned)
    if not columns:
        return []
    table = pa.Table.from_batches([rows.slice(columns, 0, EXAMINED_ROWS)])
    types = {column.name: column.type for column in columns}
    relations = detect_relations(table, types)
    near = find_near_columns(table, types, plan_coding(relations, table, ()).names)
    exact = [relation.to_dict() for relation in independent_relations(relations, table)]
    return exact + [column.to_dict() for column in near]
