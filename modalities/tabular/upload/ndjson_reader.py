"""Reader of NDJSON: one JSON object per line.

The text is read twice: first to detect the columns and their types, then to read the values.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from core.datasets.errors import printable
from core.errors import DatasetUnreadable
from core.settings import Limits
from modalities.tabular.upload.raw_table import (
    RawTable,
    columns_error,
    normalize_names,
    skipped_note,
    table_error,
)
from modalities.tabular.upload.text_file import TextFile

BATCH_ROWS = 8_192
_INT64_LIMIT = 2**63

ValueTypes = dict[str, set[type]]


def open_ndjson(file: TextFile, limits: Limits, exclude: frozenset[str]) -> RawTable:
    """Open an NDJSON table. Columns of `exclude` are skipped if they hold lists or objects."""
    notes = [file.note] if file.note else []
    value_types = _value_types(file, limits)
    if not value_types:
        raise table_error("table_empty", f"{printable(file.name)} holds no values.")
    nested = [name for name in value_types if value_types[name] & {dict, list}]
    skipped = [name for name in nested if name in exclude]
    if skipped:
        notes.append(skipped_note(skipped))
    keys = [name for name in value_types if name not in skipped]
    names = normalize_names(keys, limits, notes)
    if nested != skipped:
        nested = [name for name in nested if name not in exclude]
        message = (
            "Lists and objects cannot be learned; flatten them into columns, or list the columns "
            "in `exclude_columns`."
        )
        raise columns_error("column_type", "Unsupported column type", nested, message)
    types = [_arrow_type(value_types[key]) for key in keys]
    schema = pa.schema(list(zip(names, types, strict=True)))
    mixed = [n for n, key in zip(names, keys, strict=True) if len(value_types[key] - {float}) > 1]
    return RawTable(
        "ndjson",
        schema,
        _batches(file, limits, keys, schema),
        untyped=frozenset(n for n in mixed if schema.field(n).type == pa.string()),
        skipped=frozenset(skipped),
        notes=notes,
    )


def _value_types(file: TextFile, limits: Limits) -> ValueTypes:
    """Return the Python types of each key's values; integers beyond 64 bits count as str."""
    value_types: ValueTypes = {}
    for row in _objects(file, limits):
        for name, value in row.items():
            if value is not None:
                value_type = type(value)
                too_large = value_type is int and not -_INT64_LIMIT <= value < _INT64_LIMIT
                value_types.setdefault(name, set()).add(str if too_large else value_type)
            elif name not in value_types:
                value_types[name] = set()
        if len(value_types) > limits.columns_max:
            message = (
                f"The objects have more than {limits.columns_max:,} different keys; remove some "
                "of them."
            )
            raise table_error("too_many_columns", message)
    return value_types


def _arrow_type(value_types: set[type]) -> pa.DataType:
    if value_types == {bool}:
        return pa.bool_()
    if value_types == {int}:
        return pa.int64()
    if value_types and value_types <= {int, float}:
        return pa.float64()
    return pa.string()


def _batches(
    file: TextFile, limits: Limits, keys: list[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, Any]] = []
    for row in _objects(file, limits):
        rows.append(row)
        if len(rows) == BATCH_ROWS:
            yield _batch(rows, keys, schema)
            rows = []
    if rows:
        yield _batch(rows, keys, schema)


def _batch(rows: list[dict[str, Any]], keys: list[str], schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for key, arrow_type in zip(keys, schema.types, strict=True):
        values = [row.get(key) for row in rows]
        if arrow_type == pa.string():
            values = [None if v is None or v == "" else _text(v) for v in values]
        elif arrow_type == pa.float64():
            values = [None if v is None else float(v) for v in values]
        arrays.append(pa.array(values, arrow_type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _objects(file: TextFile, limits: Limits) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_lines(file.chunks(), limits), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_object)
        except _DuplicateKeyError as error:
            raise _line_error(number, "has the same key twice; rename one of them") from error
        except (ValueError, RecursionError) as error:
            problem = "is not valid JSON; write one JSON object per line"
            raise _line_error(number, problem) from error
        if not isinstance(row, dict):
            raise _line_error(number, "is not a JSON object; write one JSON object per line")
        yield row


def _lines(chunks: Iterable[str], limits: Limits) -> Iterator[str]:
    rest, number = "", 0
    for chunk in chunks:
        *complete, rest = (rest + chunk).split("\n")
        number += len(complete)
        if len(rest) > limits.row_chars:
            problem = f"has more than {limits.row_chars:,} characters; shorten its values"
            raise _line_error(number + 1, problem)
        yield from complete
    yield rest


class _DuplicateKeyError(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise _DuplicateKeyError
    return row


def _line_error(line: int, problem: str) -> DatasetUnreadable:
    return table_error("row_invalid", f"Line {line:,} {problem}.", pointer=f"/file/lines/{line}")
