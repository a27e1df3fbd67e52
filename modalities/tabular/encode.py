"""Streaming encoders of rows: JSON, NDJSON, CSV, Parquet and Arrow.

A client detects a truncated JSON, Parquet or Arrow stream by its missing end marker. NDJSON and CSV
have no end marker: there only the HTTP response shows that the stream is complete.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from core.datasets.chunk_buffer import ChunkBuffer
from modalities.tabular.arrow_types import to_output_type
from modalities.tabular.csv_output import RFC_4180, CsvDialect, encode_csv
from modalities.tabular.formatting import to_json_values
from modalities.tabular.schema import Column, Schema
from modalities.tabular.typed_parquet import typed_batches

Batches = Iterator[pa.RecordBatch]


def parse_sample_columns(manifest: Mapping[str, Any]) -> list[Column]:
    """Return the columns of a model's samples from its manifest."""
    return [
        Column(**{k: v for k, v in column.items() if k != "domain"})
        for column in manifest["columns"]
    ]


def encode(
    format: str,
    batches: Batches,
    columns: Sequence[Column],
    head: dict[str, Any],
    dialect: CsvDialect = RFC_4180,
) -> Iterator[bytes]:
    """Yield the encoded rows in chunks.

    `columns` must be in the order of the batches. `head` holds the fields before `rows` in JSON.
    """
    if format == "csv":
        return encode_csv(batches, columns, dialect)
    if format == "json":
        return encode_json(batches, columns, head)
    if format == "ndjson":
        return encode_ndjson(batches, columns)
    batches = _in_output_types(batches, columns)
    return encode_parquet(batches) if format == "parquet" else encode_arrow(batches)


def _in_output_types(batches: Batches, columns: Sequence[Column]) -> Batches:
    """Yield the batches in the Arrow types that the columns had when they were uploaded."""
    for batch in batches:
        arrays = [to_output_type(batch.column(column.name), column) for column in columns]
        yield pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def encode_json(
    batches: Batches, columns: Sequence[Column], head: dict[str, Any]
) -> Iterator[bytes]:
    """Yield `{…head, "rows": [{…}, …]}`."""
    yield (json.dumps(head, ensure_ascii=False)[:-1] + ', "rows": [').encode()
    first = True
    for batch in batches:
        lines = ", ".join(_objects(batch, columns))
        yield (("" if first else ", ") + lines).encode()
        first = False
    yield b"]}"


def encode_ndjson(batches: Batches, columns: Sequence[Column]) -> Iterator[bytes]:
    for batch in batches:
        yield "".join(f"{line}\n" for line in _objects(batch, columns)).encode()


def _objects(batch: pa.RecordBatch, columns: Sequence[Column]) -> Iterator[str]:
    names = [column.name for column in columns]
    values = [to_json_values(batch.column(column.name), column) for column in columns]
    for row in zip(*values, strict=True):
        yield json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False)


def encode_parquet(batches: Batches) -> Iterator[bytes]:
    return _encode_with(pa.parquet.ParquetWriter, batches)


def encode_arrow(batches: Batches) -> Iterator[bytes]:
    """Yield the Arrow IPC streaming format."""
    return _encode_with(pa.ipc.new_stream, batches)


def _encode_with(new_writer: Callable[..., Any], batches: Batches) -> Iterator[bytes]:
    buffer, first = ChunkBuffer(), next(batches)
    with new_writer(buffer, first.schema) as writer:
        for batch in chain([first], batches):
            writer.write_batch(batch)
            yield buffer.drain()
    yield buffer.drain()


def encode_dataset(path: Path, summary: Mapping[str, Any], format: str) -> Iterator[bytes]:
    """Encode all rows of rows.parquet with the types of the schema, without excluded columns."""
    schema = Schema.from_dict(summary)
    columns = [column for column in schema.columns if not column.exclude]
    dialect = CsvDialect.of_upload(summary["read"])
    return encode(format, typed_batches(path, schema.columns), columns, {}, dialect)
