"""Reader of Parquet and Arrow files, whose columns have types.

Only flat columns can be learned: lists, structs and binary values are rejected.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.datasets.arrow_messages import check_message_sizes
from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from core.datasets.parquet_pages import (
    ColumnMemory,
    check_page_memory,
    measure_columns,
    rows_per_batch,
)
from core.errors import DatasetUnreadable
from core.limits import MIB, Limits
from modalities.tabular.schema import Column
from modalities.tabular.upload.raw_table import (
    MAX_EXAMPLES,
    RawTable,
    columns_error,
    normalize_names,
    skipped_note,
    table_error,
)

BATCH_ROWS = 8_192

_MAX_FOOTER_BYTES = 64 * MIB
_MAX_ROW_GROUPS = 10_000
_READ_BYTES = MIB
_FILE_SIGNATURE = b"ARROW1\0\0"
_SLICE_BYTES = 64 * MIB  # of decoded texts
_RATIO_FREE_BYTES = 1024 * MIB  # of decoded texts of a file, harmless at any ratio
_MICROSECONDS = pa.timestamp("us")
# The range of Python's datetime, years 1 to 9999, in microseconds since 1970.
_MIN_MICROS, _MAX_MICROS = -62_135_596_800_000_000, 253_402_300_799_999_999


def open_parquet(path: Path, name: str, limits: Limits, exclude: frozenset[str]) -> RawTable:
    """Open a Parquet file. Columns of `exclude` are skipped if their type cannot be learned."""
    with _errors_as_unreadable(name):
        _check_footer(path, name)
        file = pq.ParquetFile(path, page_checksum_verification=True)
        metadata = file.metadata
        _check_size(metadata.num_rows, len(file.schema_arrow), limits)
        if metadata.num_row_groups > _MAX_ROW_GROUPS:
            message = (
                f"{printable(name)} has more than {_MAX_ROW_GROUPS:,} row groups; write larger "
                "ones."
            )
            raise table_error("table_too_large", message)
        size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if size > limits.table_bytes or size < 0:
            message = f"{printable(name)} decompresses to more than {limits.table_bytes:,} bytes."
            raise table_error("table_too_large", message)
        schema = file.schema_arrow
        columns = _learnable_columns(schema, exclude)
        memory = _measure(path, metadata, columns)
        check_page_memory(name, list(memory.values()))
        # Texts of a dictionary stay encoded until the lengths of a batch are known.
        encoded = [c for c in columns if memory[c].dictionary and _is_text(schema.field(c).type)]
        decoded = [memory[c] for c in columns if c not in set(encoded)]
        file = pq.ParquetFile(
            path,
            page_checksum_verification=True,
            read_dictionary=encoded,
            buffer_size=_READ_BYTES,
        )
    rows = rows_per_batch(decoded, BATCH_ROWS)
    batches = file.iter_batches(batch_size=rows, columns=columns, use_threads=False)
    return _table("parquet", schema, columns, batches, path=path, name=name, limits=limits)


def _measure(path: Path, metadata: pq.FileMetaData, columns: list[str]) -> dict[str, ColumnMemory]:
    """Return the memory of the columns. Those that can be learned have one leaf each."""
    paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    by_path = dict(zip(paths, measure_columns(path, metadata), strict=True))
    return {name: by_path.get(name, ColumnMemory()) for name in columns}


def open_arrow(
    path: Path, name: str, limits: Limits, exclude: frozenset[str], *, stream: bool
) -> RawTable:
    """Open an Arrow IPC file or stream. Columns of `exclude` are skipped as in open_parquet."""
    with _errors_as_unreadable(name):
        source = pa.memory_map(str(path))
        if not stream:
            pa.ipc.open_file(source)  # check that the file is complete
        # A file holds a stream behind its signature. Read as one, it has the checked messages only.
        start = 0 if stream else len(_FILE_SIGNATURE)
        source.seek(start)
        check_message_sizes(source, name)
        source.seek(start)
        reader = pa.ipc.open_stream(source)
        schema = reader.schema
        _check_size(0, len(schema), limits)
        columns = _learnable_columns(schema, exclude)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            batch.validate(full=True)  # reject offsets that point outside the buffers
            selected = batch.select(columns)
            for start in range(0, len(selected), BATCH_ROWS):
                yield selected.slice(start, BATCH_ROWS)

    return _table("arrow", schema, columns, batches(), path=path, name=name, limits=limits)


def _table(
    format: str,
    schema: pa.Schema,
    columns: list[str],
    batches: Iterator[pa.RecordBatch],
    *,
    path: Path,
    name: str,
    limits: Limits,
) -> RawTable:
    skipped = [name for name in schema.names if name not in columns]
    notes, issues = [skipped_note(skipped)] if skipped else [], list[Issue]()
    names = normalize_names(columns, limits, issues)
    types = [_plain_type(schema.field(column).type) for column in columns]
    plain_schema = pa.schema(list(zip(names, types, strict=True)))
    nanoseconds = Counter[str]()
    hints = {n: _type_hint(n, schema.field(c).type) for n, c in zip(names, columns, strict=True)}

    def plain_batches() -> Iterator[pa.RecordBatch]:
        with _errors_as_unreadable(name):
            for batch in _bounded_batches(batches, path, name, limits):
                arrays = [
                    _to_plain(batch.column(i), type_, names[i]) for i, type_ in enumerate(types)
                ]
                for i, column_name in enumerate(names):
                    nanoseconds[column_name] += _count_nanoseconds(batch.column(i))
                yield pa.RecordBatch.from_arrays(arrays, schema=plain_schema)
        if nanoseconds.total():
            issues.append(_nanoseconds_issue(nanoseconds))

    return RawTable(
        format,
        plain_schema,
        plain_batches(),
        type_hints=hints,
        untyped=frozenset(n for n, hint in hints.items() if hint.arrow == "uint64"),
        skipped=frozenset(skipped),
        notes=notes,
        issues=issues,
    )


def _bounded_batches(
    batches: Iterator[pa.RecordBatch], path: Path, name: str, limits: Limits
) -> Iterator[pa.RecordBatch]:
    """Yield the batches in slices whose texts are of bounded size once they are decoded.

    Raises DatasetUnreadable if the texts of the file are far larger than the file.
    """
    remaining = min(
        limits.table_bytes,
        max(_RATIO_FREE_BYTES, limits.archive_ratio * path.stat().st_size),
    )
    for batch in batches:
        row_bytes = sum(map(_text_bytes, batch.columns), np.zeros(len(batch), np.int64))
        remaining -= int(row_bytes.sum())
        if remaining < 0:
            message = (
                f"The texts of {printable(name)} are far larger than the file; send it as CSV."
            )
            raise table_error("archive_bomb", message)
        slice_of_row = np.cumsum(row_bytes) // _SLICE_BYTES
        starts = np.flatnonzero(np.diff(slice_of_row, prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(batch)]):
            yield batch.slice(start, end - start)


def _text_bytes(values: pa.Array) -> NDArray[np.int64]:
    """Return (N,) the bytes of each text, 0 for other values."""
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        lengths = pa.array(_text_bytes(values.dictionary))
        return _to_lengths(lengths.take(values.indices))
    if pa.types.is_string_view(values.type):
        if not len(values):
            return np.zeros(0, np.int64)
        views = np.frombuffer(values.buffers()[1], np.int32).reshape(-1, 4)
        return views[values.offset : values.offset + len(values), 0].astype(np.int64)
    return (
        _to_lengths(pc.binary_length(values))
        if _is_text(values.type)
        else np.zeros(len(values), np.int64)
    )


def _to_lengths(lengths: pa.Array) -> NDArray[np.int64]:
    return np.asarray(lengths.fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _storage_type(type_: pa.DataType) -> pa.DataType:
    """Return the type of the values, without extension types and dictionary encoding."""
    if isinstance(type_, pa.BaseExtensionType):
        return _storage_type(type_.storage_type)
    return _storage_type(type_.value_type) if pa.types.is_dictionary(type_) else type_


def _plain_type(type_: pa.DataType) -> pa.DataType | None:
    """Return the type of RawTable to cast to, or None for a type that cannot be learned."""
    type_, types = _storage_type(type_), pa.types
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return pa.string()
    if types.is_null(type_):
        return pa.string()
    if types.is_boolean(type_):
        return pa.bool_()
    if types.is_uint64(type_):  # may have more digits than int64
        return pa.string()
    if types.is_integer(type_):
        return pa.int64()
    if types.is_floating(type_) or types.is_decimal(type_):
        return pa.float64()
    if types.is_time(type_):
        return pa.time64("us")
    if types.is_duration(type_):
        return pa.duration("us")
    return _MICROSECONDS if types.is_date(type_) or types.is_timestamp(type_) else None


def _type_hint(name: str, type_: pa.DataType) -> Column:
    arrow = type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_
    return replace(_form_hint(name, _storage_type(type_)), arrow=str(arrow))


def _form_hint(name: str, type_: pa.DataType) -> Column:
    if pa.types.is_decimal(type_):
        return Column(name, "number", decimals=max(0, type_.scale))
    if pa.types.is_date(type_):
        return Column(name, "datetime", format="%Y-%m-%d")
    if pa.types.is_timestamp(type_):
        return Column(name, "datetime", format="%Y-%m-%dT%H:%M:%S" + ("Z" if type_.tz else ""))
    if pa.types.is_time(type_):
        return Column(name, "time", format="%H:%M:%S")
    return Column(name, "category")


def _to_plain(values: pa.Array, type_: pa.DataType, name: str) -> pa.Array:
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if type_ == _MICROSECONDS:
        return _to_timestamps(values, name)
    if pa.types.is_floating(values.type) and values.type.bit_width < 64:
        values = values.cast(pa.string())  # the shortest text that identifies the number
    try:
        plain = values.cast(type_, safe=not pa.types.is_floating(type_))
    except pa.ArrowInvalid as error:
        message = f"The column holds values that do not fit into {type_}; write them as text."
        raise columns_error("column_type", "Unreadable column", [name], message) from error
    if pa.types.is_decimal(values.type):  # pyarrow's float may be next to the nearest one
        numbers = plain.fill_null(0.0).to_numpy(zero_copy_only=False)
        is_missing = plain.is_null().to_numpy(zero_copy_only=False)
        plain = pa.array(np.round(numbers, values.type.scale), mask=is_missing)
    if type_ == pa.string():
        return pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)
    return plain


def _to_timestamps(values: pa.Array, name: str) -> pa.Array:
    """Return microsecond timestamps, in UTC if the type has a zone."""
    zone = values.type.tz if pa.types.is_timestamp(values.type) else None
    micros = values.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    bounds = pc.min_max(micros)
    if len(micros) > micros.null_count and not (
        bounds["min"].as_py() >= _MIN_MICROS and bounds["max"].as_py() <= _MAX_MICROS
    ):
        message = (
            "The column holds times outside the years 1 to 9999; correct them, or leave them empty."
        )
        raise columns_error("value_out_of_range", "Unreadable column", [name], message)
    return micros.cast(_MICROSECONDS)


def _count_nanoseconds(values: pa.Array) -> int:
    """Return the number of times that microseconds cannot represent."""
    if not (pa.types.is_timestamp(values.type) and values.type.unit == "ns"):
        return 0
    numbers = values.cast(pa.int64()).fill_null(0).to_numpy()
    return int(np.count_nonzero(numbers % 1_000))


def _nanoseconds_issue(counts: Counter[str]) -> Issue:
    examples = tuple(f"{printable(name)}: {count:,} rows" for name, count in (+counts).items())
    hint = (
        "Times are learned in microseconds, and the digits beyond them are dropped. If they "
        "matter, split them off as a column of their own."
    )
    return Issue("dropped_nanoseconds", "warning", counts.total(), examples[:MAX_EXAMPLES], hint)


def _learnable_columns(schema: pa.Schema, exclude: frozenset[str]) -> list[str]:
    """Return the names of the columns to read.

    Raises:
        DatasetUnreadable: A column that is not in `exclude` has a type that cannot be learned, or
            two columns have the same name.
    """
    _check_names_are_unique(schema.names)
    unsupported = [field.name for field in schema if _plain_type(field.type) is None]
    rejected = [name for name in unsupported if name not in exclude]
    if rejected:
        types = sorted({str(schema.field(name).type)[:40] for name in rejected})[:5]
        message = (
            f"Columns of type {', '.join(types)} cannot be learned; convert them to text or "
            "numbers, or list them in `exclude_columns`."
        )
        raise columns_error("column_type", "Unsupported column type", rejected, message)
    return [name for name in schema.names if name not in unsupported]


def _check_names_are_unique(names: list[str]) -> None:
    duplicates = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if duplicates:
        message = "More than one column has this name; rename all but one of them."
        raise columns_error("duplicate_column", "Duplicate column name", duplicates, message)


def _check_size(rows: int, columns: int, limits: Limits) -> None:
    if columns > limits.columns_max:
        message = f"The table has {columns:,} columns; the limit is {limits.columns_max:,}."
        raise table_error("too_many_columns", message)
    if rows > limits.rows_max:
        message = f"The table has {rows:,} rows; the limit is {limits.rows_max:,}."
        raise table_error("too_many_rows", message)
    if rows * columns > limits.cells_max:
        message = f"The table has {rows * columns:,} cells; the limit is {limits.cells_max:,}."
        raise table_error("table_too_large", message)


def _check_footer(path: Path, name: str) -> None:
    """Reject a footer length that would make pyarrow allocate too much memory."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > min(size, _MAX_FOOTER_BYTES):
        raise _unreadable(name)


def _unreadable(name: str) -> DatasetUnreadable:
    message = f"{printable(name)} is damaged or truncated; write it again and upload it again."
    return table_error("table_unreadable", message)


@contextmanager
def _errors_as_unreadable(name: str) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, NotImplementedError, OverflowError) as error:
        raise _unreadable(name) from error
