"""Rows as bytes: JSON, NDJSON, CSV, Parquet, Arrow. All are streamed. NDJSON and CSV end with the
last chunk of the HTTP answer, the others with a mark of their own, too."""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from app.sampling.pipe import Pipe
from core.datasets.rows import Column
from core.datasets.rows.spelling import plain, spelled

Batches = Iterator[pa.RecordBatch]


def encode(
    format: str, batches: Batches, columns: Sequence[Column], head: dict[str, Any]
) -> Iterator[bytes]:
    """`columns` in the order of the batches; `head` goes before the rows of JSON."""
    if format == "csv":
        return csv(batches, columns)
    if format == "json":
        return json_rows(batches, columns, head)
    if format == "ndjson":
        return ndjson(batches, columns)
    return parquet(batches) if format == "parquet" else arrow(batches)


def csv(batches: Batches, columns: Sequence[Column]) -> Iterator[bytes]:
    """A header and a line for each row, values spelled as they came (RFC 4180, but "\\n")."""
    schema = pa.schema([(c.name, _text_type(c)) for c in columns])
    options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
    yield _header(columns)
    for batch in batches:
        arrays = [_text(batch.column(c.name), c) for c in columns]
        out = io.BytesIO()
        pa.csv.write_csv(pa.RecordBatch.from_arrays(arrays, schema=schema), out, options)
        yield out.getvalue()


def _header(columns: Sequence[Column]) -> bytes:
    out = io.BytesIO()
    names = [pa.array([column.name]) for column in columns]
    row = pa.RecordBatch.from_arrays(names, names=[str(i) for i in range(len(names))])
    options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
    pa.csv.write_csv(row, out, options)
    return out.getvalue()


def _text_type(column: Column) -> pa.DataType:
    native = column.type == "integer" and not column.decimals
    return pa.int64() if native else pa.string()


def _text(values: pa.Array, column: Column) -> pa.Array:
    return values if _text_type(column) == values.type else spelled(values, column)


def json_rows(batches: Batches, columns: Sequence[Column], head: dict[str, Any]) -> Iterator[bytes]:
    """`{…head, "rows": [{…}, …]}`."""
    yield (json.dumps(head, ensure_ascii=False)[:-1] + ', "rows": [').encode()
    first = True
    for batch in batches:
        lines = ", ".join(_objects(batch, columns))
        yield (("" if first else ", ") + lines).encode()
        first = False
    yield b"]}"


def ndjson(batches: Batches, columns: Sequence[Column]) -> Iterator[bytes]:
    for batch in batches:
        yield "".join(f"{line}\n" for line in _objects(batch, columns)).encode()


def _objects(batch: pa.RecordBatch, columns: Sequence[Column]) -> Iterator[str]:
    names = [column.name for column in columns]
    values = [plain(batch.column(column.name), column) for column in columns]
    for row in zip(*values, strict=True):
        yield json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False)


def parquet(batches: Batches) -> Iterator[bytes]:
    pipe, first = Pipe(), next(batches)
    with pa.parquet.ParquetWriter(pipe, first.schema) as writer:
        writer.write_batch(first)
        yield pipe.take()
        for batch in batches:
            writer.write_batch(batch)
            yield pipe.take()
    yield pipe.take()


def arrow(batches: Batches) -> Iterator[bytes]:
    """The streaming format of Arrow's IPC."""
    pipe, first = Pipe(), next(batches)
    with pa.ipc.new_stream(pipe, first.schema) as writer:
        writer.write_batch(first)
        yield pipe.take()
        for batch in batches:
            writer.write_batch(batch)
            yield pipe.take()
    yield pipe.take()
