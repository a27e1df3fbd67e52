"""Some rows, as they would be given back."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.datasets.rows.schema import Column, Schema
from core.datasets.rows.spelling import plain, spelled
from core.datasets.rows.typed import TypedRows


def rows_of(path: Path, schema: Schema, start: int, count: int) -> list[dict[str, Any]]:
    """Rows of rows.parquet from `start` on, without the dropped columns."""
    columns = _shown(schema)
    batch = TypedRows(path).slice(columns, start, count)
    values = [plain(batch.column(i), column) for i, column in enumerate(columns)]
    return _records([column.name for column in columns], values)


def csv_of(path: Path, schema: Schema, start: int, count: int) -> str:
    """As rows_of, as CSV with a header."""
    columns = _shown(schema)
    batch = TypedRows(path).slice(columns, start, count)
    texts = [spelled(batch.column(i), column).to_pylist() for i, column in enumerate(columns)]
    out = io.StringIO()
    writer = csv.writer(out)  # ends rows as RFC 4180 has it, so that it quotes either end of line
    writer.writerow([column.name for column in columns])
    writer.writerows(zip(*texts, strict=True))
    return out.getvalue()


def _shown(schema: Schema) -> tuple[Column, ...]:
    return tuple(column for column in schema.columns if not column.drop)


def _records(names: Sequence[str], values: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
