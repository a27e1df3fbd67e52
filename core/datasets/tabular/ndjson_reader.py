"""A JSON object on each line. The text is read twice: for the columns, then for the values."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from core.datasets.errors import printable
from core.datasets.tabular.raw_table import (
    RawTable,
    columns_error,
    normalize_names,
    skipped_note,
    table_error,
)
from core.datasets.tabular.text_file import TextFile
from core.errors import DatasetUnreadable
from core.settings import Limits

BATCH_ROWS = 8_192  # in a batch
_BIG = 2**63

ValueTypes = dict[str, set[type]]


def open_ndjson(file: TextFile, limits: Limits, exclude: frozenset[str]) -> RawTable:
    """`exclude`: columns that are left out if they cannot be learned."""
    notes = [file.note] if file.note else []
    kinds = _kinds(file, limits)
    if not kinds:
        raise table_error("table_empty", f"{printable(file.name)} holds no values")
    nested = [name for name in kinds if kinds[name] & {dict, list}]
    skipped = [name for name in nested if name in exclude]
    if skipped:
        notes.append(skipped_note(skipped))
    written = [name for name in kinds if name not in skipped]
    names = normalize_names(written, limits, notes)
    if nested != skipped:
        nested = [name for name in nested if name not in exclude]
        message = "holds lists or objects; make columns of what is in them, or name it in `exclude_columns`"
        raise columns_error("column_type", "columns cannot be learned:", nested, message)
    types = [_type_of(kinds[name]) for name in written]
    schema = pa.schema(list(zip(names, types, strict=True)))
    loose = [n for n, w in zip(names, written, strict=True) if len(kinds[w] - {float}) > 1]
    return RawTable(
        "ndjson",
        schema,
        _batches(file, limits, written, schema),
        untyped=frozenset(n for n in loose if schema.field(n).type == pa.string()),
        skipped=frozenset(skipped),
        notes=notes,
    )


def _kinds(file: TextFile, limits: Limits) -> ValueTypes:
    kinds: ValueTypes = {}
    for row in _objects(file, limits):
        for name, value in row.items():
            if value is not None:
                kind = type(value)
                big = kind is int and not -_BIG <= value < _BIG
                kinds.setdefault(name, set()).add(str if big else kind)
            elif name not in kinds:
                kinds[name] = set()
        if len(kinds) > limits.columns_max:
            message = f"there are more than {limits.columns_max:,} different keys"
            raise table_error("too_many_columns", message)
    return kinds


def _type_of(kinds: set[type]) -> pa.DataType:
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return pa.string()


def _batches(
    file: TextFile, limits: Limits, written: list[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, Any]] = []
    for row in _objects(file, limits):
        rows.append(row)
        if len(rows) == BATCH_ROWS:
            yield _batch(rows, written, schema)
            rows = []
    if rows:
        yield _batch(rows, written, schema)


def _batch(rows: list[dict[str, Any]], written: list[str], schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for name, kind in zip(written, schema.types, strict=True):
        values = [row.get(name) for row in rows]
        if kind == pa.string():
            values = [None if v is None or v == "" else _text(v) for v in values]
        elif kind == pa.float64():
            values = [None if v is None else float(v) for v in values]
        arrays.append(pa.array(values, kind))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _objects(file: TextFile, limits: Limits) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_lines(file.chunks(), limits), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_object)
        except _DoubledKey as error:
            raise _invalid(number, "the same key stands twice") from error
        except (ValueError, RecursionError) as error:
            raise _invalid(number, "this is not JSON; each line is one object") from error
        if not isinstance(row, dict):
            raise _invalid(number, "this is no JSON object; each line is one")
        yield row


def _lines(chunks: Iterable[str], limits: Limits) -> Iterator[str]:
    rest, number = "", 0
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        number += len(whole)
        if len(rest) > limits.row_chars:
            raise _invalid(number + 1, f"a line may have {limits.row_chars:,} characters")
        yield from whole
    yield rest


class _DoubledKey(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise _DoubledKey
    return row


def _invalid(line: int, message: str) -> DatasetUnreadable:
    return table_error("row_invalid", f"line {line:,}: {message}", pointer=f"/file/lines/{line}")
