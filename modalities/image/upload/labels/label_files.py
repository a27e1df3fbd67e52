"""Readers of files that may list labels, by their suffix.

All are read as tables: a header and rows of text.
"""

import io
import json
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.datasets.file_type import HEAD_BYTES, detect_file_type
from core.datasets.source import SourceFile
from core.datasets.table_names import WORKBOOK_SUFFIXES
from core.limits import Limits
from modalities.image.upload.labels.label_documents import read_document, read_objects, read_xml
from modalities.image.upload.labels.label_table import (
    LabelTable,
    Row,
    decode_text,
    invalid_table,
    read_csv,
    to_text,
)

_TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt", ".lst", ".dat", ".data"})
TABLE_SUFFIXES = (
    _TEXT_SUFFIXES | WORKBOOK_SUFFIXES | {".json", ".jsonl", ".ndjson", ".xml", ".parquet", ".pq"}
)


def read_tables(
    content: bytes, name: str, is_image: Callable[[str], bool], limits: Limits
) -> list[LabelTable]:
    """Read the tables in the file `name`. `is_image` recognizes names of images.

    Raises DatasetUnreadable if the file does not hold a table.
    """
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in WORKBOOK_SUFFIXES:
        return _read_workbook(content, name, is_image, limits)
    if suffix in {".parquet", ".pq"}:
        return [_read_parquet(content, name, limits)]
    text = decode_text(content, name)
    if suffix in {".jsonl", ".ndjson"}:
        return [read_objects(list(_json_lines(text, name)), name)]
    if suffix == ".json":
        return read_document(_parse_json(text, name), name, is_image)
    if suffix == ".xml":
        return [read_xml(text, name)]
    return [read_csv(text, name, is_image)]


def _read_workbook(
    content: bytes, name: str, is_image: Callable[[str], bool], limits: Limits
) -> list[LabelTable]:
    """Return a table per visible sheet that is not empty."""
    # Slow to import, and rarely needed.
    from modalities.tabular.upload.files.compressed_table import inspect_workbook
    from modalities.tabular.upload.files.workbook_reader import open_sheets

    tables = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "workbook"
        path.write_bytes(content)
        if detect_file_type(content[:HEAD_BYTES]) == "zip":
            inspect_workbook(SourceFile(path, name), limits)  # rejects zip bombs
        for sheet, raw in open_sheets(SourceFile(path, name), limits):
            header, first = list(raw.schema.names), []
            if any(map(is_image, header)):  # the first row is not a header
                header, first = [str(i + 1) for i in range(len(header))], [header]
            rows = [*first, *_rows_of(list(raw.batches))()]
            tables.append(LabelTable(name, header, rows.__iter__, part=sheet))
    return tables


def _read_parquet(content: bytes, name: str, limits: Limits) -> LabelTable:
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        columns = [field.name for field in file.schema_arrow if not _is_nested(field.type)]
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
        if size > limits.archive_entry_bytes:
            raise invalid_table(name, "the table is too large")
        table = file.read(columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise invalid_table(name, "the file is not a Parquet table") from error
    return LabelTable(name, list(table.schema.names), _rows_of(table.to_batches()))


def _is_nested(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    )


def _rows_of(batches: list[pa.RecordBatch]) -> Callable[[], Iterator[Row]]:
    def read_rows() -> Iterator[Row]:
        for batch in batches:
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield [to_text(value) for value in row]

    return read_rows


def _json_lines(text: str, name: str) -> Iterator[Any]:
    for number, line in enumerate(io.StringIO(text), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise invalid_table(name, f"line {number} is not valid JSON") from error


def _parse_json(text: str, name: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise invalid_table(
            name, "the file is not valid JSON in UTF-8, or an object repeats a key"
        ) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(unique := dict(pairs)) < len(pairs):
        raise ValueError("an object repeats a key")
    return unique
