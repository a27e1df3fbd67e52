"""Relations between the columns of a table, in its profile."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from core.datasets.data_quality import MAX_STORED_EXAMPLES, Issue
from core.datasets.errors import printable
from modalities.tabular.schema import Column, Schema
from modalities.tabular.typed_parquet import TypedParquet
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.equations.with_exceptions import MAX_EXCEPTIONS
from models.tabular.relations.exceptions_search import find_with_exceptions
from models.tabular.relations.kinds import NOT_DETERMINING
from models.tabular.relations.near.detection import find_near_columns
from models.tabular.relations.planning import independent_relations, plan_coding
from models.tabular.relations.relation import Relation
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.search import find_joined_texts

EXAMINED_ROWS = 50_000  # in memory at a time; training examines all of its rows


def search_joined_texts(rows: TypedParquet, schema: Schema) -> list[JoinedText]:
    """Return the texts of the first EXAMINED_ROWS that consist of other columns."""
    columns, table = _examined(rows, schema)
    return find_joined_texts(table, {column.name: column.type for column in columns})


def find_relations(
    rows: TypedParquet, schema: Schema, joined_texts: Sequence[JoinedText]
) -> tuple[list[dict[str, Any]], list[Issue]]:
    """Return the relations between columns that hold in the first EXAMINED_ROWS, and issues.

    The near relations by which a training would code columns follow, and then the `joined_texts`.
    An issue names the few rows that break a relation.
    """
    columns, table = _examined(rows, schema)
    if not columns:
        return [], []
    types = {column.name: column.type for column in columns if column.learned}
    relations = detect_relations(table, types)
    coding = plan_coding(relations, table, ())
    coded = coding.names
    inexact = find_with_exceptions(table, types, relations, coding.determined)
    totals = {each.last for each in inexact if each.kind not in NOT_DETERMINING}
    near = find_near_columns(table, types, coded | totals, (), coding.learned)
    exact = [relation.to_dict() for relation in independent_relations(relations, table)]
    listed = exact + [each.to_dict() for each in (*near, *inexact, *joined_texts)]
    return listed, _odd_rows_issues(table, inexact)


def _odd_rows_issues(table: pa.Table, relations: Sequence[Relation]) -> list[Issue]:
    """Return an issue that names the rows of relations that nearly all rows satisfy, if any."""
    odd_rows = {
        relation: np.flatnonzero(~relation.holds(table)).tolist()
        for relation in relations
        if relation.exceptions
    }
    examples = [
        f"{printable(relation.name)}: row {row + 1:,}"
        for relation, odd in odd_rows.items()
        if len(odd) <= MAX_EXCEPTIONS * len(table)
        for row in odd
    ]
    if not examples:
        return []
    hint = (
        "All rows but these satisfy the relation. Samples break an equation as often, and an order "
        "never: correct the rows, or remove them, if they are wrong."
    )
    shown = tuple(examples[:MAX_STORED_EXAMPLES])
    return [Issue("relation_exceptions", "info", len(examples), shown, hint)]


def _examined(rows: TypedParquet, schema: Schema) -> tuple[tuple[Column, ...], pa.Table]:
    """Return the columns of samples and their first EXAMINED_ROWS."""
    columns = tuple(column for column in schema.columns if column.in_samples)
    if not columns:
        return (), pa.table({})
    return columns, pa.Table.from_batches([rows.slice(columns, 0, EXAMINED_ROWS)])
