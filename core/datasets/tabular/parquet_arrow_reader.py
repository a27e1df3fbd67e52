"""Parquet and Arrow: files whose columns have types. Only flat ones can be learned."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.datasets.errors import printable
from core.datasets.tabular.raw_table import (
    RawTable,
    columns_error,
    normalize_names,
    skipped_note,
    table_error,
)
from core.datasets.tabular.schema import Column
from core.errors import DatasetUnreadable
from core.settings import MIB, Limits

BATCH_ROWS = 8_192

_FOOTER_BYTES = 64 * MIB
_ROW_GROUPS = 10_000
_MICROSECONDS = pa.timestamp("us")
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # of the years 1 and 9999


def open_parquet(path: Path, name: str, limits: Limits, exclude: frozenset[str]) -> RawTable:
    """`exclude`: columns that are left out if they cannot be learned."""
    with _readable(name):
        _refuse_footer(path, name)
        file = pq.ParquetFile(path, page_checksum_verification=True)
        metadata = file.metadata
        _refuse_size(metadata.num_rows, len(file.schema_arrow), limits)
        if metadata.num_row_groups > _ROW_GROUPS:
            message = f"{printable(name)} has more than {_ROW_GROUPS:,} row groups; write fewer"
            raise table_error("table_too_large", message)
        size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if size > limits.table_bytes or size < 0:
            message = f"{printable(name)} unpacks to more than {limits.table_bytes:,} bytes"
            raise table_error("table_too_large", message)
        schema = file.schema_arrow
        wanted = _learnable(schema, exclude)
    batches = file.iter_batches(batch_size=BATCH_ROWS, columns=wanted, use_threads=False)
    return _table("parquet", schema, wanted, batches, name=name, limits=limits)


def open_arrow(
    path: Path, name: str, limits: Limits, exclude: frozenset[str], *, stream: bool
) -> RawTable:
    with _readable(name):
        source = pa.memory_map(str(path))
        opened = pa.ipc.open_stream(source) if stream else pa.ipc.open_file(source)
        schema = opened.schema
        _refuse_size(0, len(schema), limits)
        wanted = _learnable(schema, exclude)

    def batches() -> Iterator[pa.RecordBatch]:
        whole = (
            opened if stream else (opened.get_batch(i) for i in range(opened.num_record_batches))
        )
        for batch in whole:
            batch.validate(full=True)  # offsets that point elsewhere
            part = batch.select(wanted)
            for start in range(0, len(part), BATCH_ROWS):
                yield part.slice(start, BATCH_ROWS)

    return _table("arrow", schema, wanted, batches(), name=name, limits=limits)


def _table(
    form: str,
    schema: pa.Schema,
    wanted: list[str],
    batches: Iterator[pa.RecordBatch],
    *,
    name: str,
    limits: Limits,
) -> RawTable:
    skipped = [name for name in schema.names if name not in wanted]
    notes = [skipped_note(skipped)] if skipped else []
    names = normalize_names(wanted, limits, notes)
    types = [_plain_type(schema.field(column).type) for column in wanted]
    plain = pa.schema(list(zip(names, types, strict=True)))
    hints = {n: _hint(n, schema.field(w).type) for n, w in zip(names, wanted, strict=True)}

    def converted() -> Iterator[pa.RecordBatch]:
        with _readable(name):
            for batch in batches:
                arrays = [_plain(batch.column(i), kind, names[i]) for i, kind in enumerate(types)]
                yield pa.RecordBatch.from_arrays(arrays, schema=plain)

    return RawTable(
        form, plain, converted(), type_hints=hints, skipped=frozenset(skipped), notes=notes
    )


def _storage(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _storage(kind.storage_type)
    return _storage(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _plain_type(kind: pa.DataType) -> pa.DataType | None:
    """None for what cannot be learned."""
    kind, types = _storage(kind), pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_null(kind):
        return pa.string()
    if types.is_boolean(kind):
        return pa.bool_()
    if types.is_integer(kind):
        return pa.int64()
    if types.is_floating(kind) or types.is_decimal(kind):
        return pa.float64()
    return _MICROSECONDS if types.is_date(kind) or types.is_timestamp(kind) else None


def _hint(name: str, kind: pa.DataType) -> Column:
    kind = _storage(kind)
    if pa.types.is_decimal(kind):
        return Column(name, "number", decimals=max(0, kind.scale))
    if pa.types.is_date(kind):
        return Column(name, "datetime", format="%Y-%m-%d")
    if pa.types.is_timestamp(kind):
        return Column(name, "datetime", format="%Y-%m-%dT%H:%M:%S" + ("Z" if kind.tz else ""))
    return Column(name, "category")


def _plain(values: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kind == _MICROSECONDS:
        return _moments(values, name)
    try:
        plain = values.cast(kind, safe=not pa.types.is_floating(kind))
    except pa.ArrowInvalid as error:
        message = f"holds values that do not fit into {kind}; write them as text"
        raise columns_error("column_type", "a column cannot be read:", [name], message) from error
    if kind == pa.string():
        return pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)
    return plain


def _moments(values: pa.Array, name: str) -> pa.Array:
    """In UTC, as they are where there is no zone."""
    zone = values.type.tz if pa.types.is_timestamp(values.type) else None
    micros = values.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    bounds = pc.min_max(micros)
    if len(micros) > micros.null_count and not (
        bounds["min"].as_py() >= _FIRST and bounds["max"].as_py() <= _LAST
    ):
        message = "holds times outside the years 1 to 9999; correct them, or leave them empty"
        raise columns_error("value_out_of_range", "a column cannot be read:", [name], message)
    return micros.cast(_MICROSECONDS)


def _learnable(schema: pa.Schema, drop: frozenset[str]) -> list[str]:
    """The columns to read. Raises when one cannot be learned that is not to be dropped."""
    _refuse_doubled(schema.names)
    bad = [field.name for field in schema if _plain_type(field.type) is None]
    refused = [name for name in bad if name not in drop]
    if refused:
        kinds = sorted({str(schema.field(name).type)[:40] for name in refused})[:5]
        message = (
            f"columns of type {', '.join(kinds)} cannot be learned; make columns of text or "
            "numbers of them, or name them in `exclude_columns`"
        )
        raise columns_error("column_type", "columns cannot be learned:", refused, message)
    return [name for name in schema.names if name not in bad]


def _refuse_doubled(names: list[str]) -> None:
    doubled = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if doubled:
        message = "the name stands more than once; rename one of them"
        raise columns_error("duplicate_column", "columns have the same name:", doubled, message)


def _refuse_size(rows: int, columns: int, limits: Limits) -> None:
    if columns > limits.columns_max:
        message = f"there are {columns:,} columns; at most {limits.columns_max:,} are read"
        raise table_error("too_many_columns", message)
    if rows > limits.rows_max:
        message = f"there are {rows:,} rows; at most {limits.rows_max:,} are read"
        raise table_error("too_many_rows", message)
    if rows * columns > limits.cells_max:
        message = f"there are {rows * columns:,} cells; at most {limits.cells_max:,} are read"
        raise table_error("table_too_large", message)


def _refuse_footer(path: Path, name: str) -> None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > min(size, _FOOTER_BYTES):
        raise _unreadable(name)


def _unreadable(name: str) -> DatasetUnreadable:
    message = f"{printable(name)} is damaged or cut off; write it and upload it again"
    return table_error("table_unreadable", message)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, NotImplementedError, OverflowError) as error:
        raise _unreadable(name) from error
