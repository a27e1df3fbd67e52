"""Rows whose identifier does not consist of other columns, as it does in the other rows."""

from collections.abc import Iterable

import pyarrow as pa

from core.datasets.data_quality import MAX_STORED_EXAMPLES, Issue
from core.datasets.errors import printable
from modalities.tabular.schema import Schema
from modalities.tabular.typed_parquet import TypedParquet
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.nearly_joined import find_nearly_joined_texts
from models.tabular.relations.texts.search import MAX_EXCEPTIONS

EXAMINED_ROWS = 10_000


def text_exceptions_issue(
    rows: TypedParquet, schema: Schema, joined_texts: Iterable[JoinedText]
) -> Issue | None:
    """Return a warning that names the rows, or None if there are none.

    `joined_texts` are those that samples join.
    """
    columns = tuple(column for column in schema.columns if column.in_samples)
    if not any(column.type == "id" for column in columns):
        return None
    table = pa.Table.from_batches([rows.slice(columns, 0, EXAMINED_ROWS)])
    types = {column.name: column.type for column in columns}
    examples = [
        f"{printable(text.joined.name)}: row {row + 1:,}" + (" (joined)" if text.is_joined else "")
        for text in find_nearly_joined_texts(table, types, joined_texts)
        for row in text.exceptions.tolist()
    ]
    hint = (
        "In all rows but these, a column consists of others, such as an e-mail address of a name. "
        f"If at most {100 * MAX_EXCEPTIONS:g} % of its values are exceptions (joined), samples "
        "have none. If more are, samples have unrelated values in the column: correct the rows, "
        "or remove them."
    )
    return (
        Issue(
            "text_exceptions", "warning", len(examples), tuple(examples[:MAX_STORED_EXAMPLES]), hint
        )
        if examples
        else None
    )
