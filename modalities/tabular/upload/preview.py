"""Previews of a table: some rows, formatted like samples."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.storage import Storage, StoredObject
from core.tables import Dataset
from modalities.tabular.formatting import format_values, to_json_values
from modalities.tabular.options import RowsPage
from modalities.tabular.schema import Column, Schema
from modalities.tabular.typed_parquet import TypedParquet


def preview(dataset: Dataset, storage: Storage, format: str, offset: int, limit: int) -> bytes:
    """Return a part of the table, as CSV or as a JSON page with the total number of rows."""
    schema, total = Schema.from_dict(dataset.summary), dataset.summary["rows"]
    with storage.open(StoredObject.from_dict(dataset.objects["rows"])) as path:
        if format == "csv":
            return preview_csv(path, schema, offset, limit).encode()
        rows = preview_rows(path, schema, offset, limit)
    page = RowsPage(data=rows, offset=offset, total=total, has_more=offset + len(rows) < total)
    return page.model_dump_json().encode()


def preview_rows(path: Path, schema: Schema, start: int, count: int) -> list[dict[str, Any]]:
    """Return `count` rows of rows.parquet from `start` on, without the excluded columns."""
    columns = _included(schema)
    batch = TypedParquet(path).slice(columns, start, count)
    values = [to_json_values(batch.column(i), column) for i, column in enumerate(columns)]
    return _records([column.name for column in columns], values)


def preview_csv(path: Path, schema: Schema, start: int, count: int) -> str:
    """Return the same rows as preview_rows, as CSV with a header."""
    columns = _included(schema)
    batch = TypedParquet(path).slice(columns, start, count)
    texts = [format_values(batch.column(i), column).to_pylist() for i, column in enumerate(columns)]
    out = io.StringIO()
    # The default line terminator, CRLF (RFC 4180), makes the writer quote both CR and LF in values.
    writer = csv.writer(out)
    writer.writerow([column.name for column in columns])
    writer.writerows(zip(*texts, strict=True))
    return out.getvalue()


def _included(schema: Schema) -> tuple[Column, ...]:
    return tuple(column for column in schema.columns if not column.exclude)


def _records(names: Sequence[str], values: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
