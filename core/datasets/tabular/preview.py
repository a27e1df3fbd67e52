"""Some rows, as they would be given back."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.datasets.tabular.formatting import format_values, to_json_values
from core.datasets.tabular.schema import Column, Schema
from core.datasets.tabular.typed_parquet import TypedParquet


def preview_rows(path: Path, schema: Schema, start: int, count: int) -> list[dict[str, Any]]:
    """Rows of rows.parquet from `start` on, without the dropped columns."""
    columns = _shown(schema)
    batch = TypedParquet(path).slice(columns, start, count)
    values = [to_json_values(batch.column(i), column) for i, column in enumerate(columns)]
    return _records([column.name for column in columns], values)


def preview_csv(path: Path, schema: Schema, start: int, count: int) -> str:
    """As preview_rows, as CSV with a header."""
    columns = _shown(schema)
    batch = TypedParquet(path).slice(columns, start, count)
    texts = [format_values(batch.column(i), column).to_pylist() for i, column in enumerate(columns)]
    out = io.StringIO()
    writer = csv.writer(out)  # ends rows as RFC 4180 has it, so that it quotes either end of line
    writer.writerow([column.name for column in columns])
    writer.writerows(zip(*texts, strict=True))
    return out.getvalue()


def _shown(schema: Schema) -> tuple[Column, ...]:
    return tuple(column for column in schema.columns if not column.exclude)


def _records(names: Sequence[str], values: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
