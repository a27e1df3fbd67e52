"""Common form of all table formats: named columns and batches of their values."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from core.datasets.errors import MAX_ERRORS, printable
from core.errors import DatasetUnreadable, FieldError
from core.settings import Limits
from modalities.tabular.schema import Column


@dataclass
class RawTable:
    """An opened table whose rows are not yet read.

    `schema` has only the types string, int64, float64, bool and timestamp[us]. `untyped` names the
    text columns whose type must be inferred from their values. `type_hints` hold what the file
    states about its types. `notes` is complete once all batches are consumed.
    """

    format: str
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    untyped: frozenset[str] = frozenset()
    type_hints: Mapping[str, Column] = field(default_factory=dict)
    decimal_comma: bool = False
    skipped: frozenset[str] = frozenset()  # excluded columns whose type cannot be learned
    notes: list[str] = field(default_factory=list)


def table_error(code: str, message: str, *, pointer: str = "/file") -> DatasetUnreadable:
    return DatasetUnreadable(message, code=code, field_errors=[FieldError(pointer, code, message)])


def columns_error(code: str, summary: str, names: Sequence[str], message: str) -> DatasetUnreadable:
    """Create an error with one field error per column.

    `summary` is a phrase that the column names follow; `message` is a sentence about each column.
    """
    errors = [
        FieldError(column_pointer(name), code, f"{printable(name)}: {message}") for name in names
    ]
    return DatasetUnreadable(
        f"{summary}: {_list_names(names)}. {message}", code=code, field_errors=errors[:MAX_ERRORS]
    )


def skipped_note(names: Sequence[str]) -> str:
    return f"Excluded columns with an unsupported type were left out: {_list_names(names)}."


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(printable(name) for name in names[:5]) + (", …" if len(names) > 5 else "")


def column_pointer(name: str) -> str:
    return f"/file/columns/{printable(name).replace('~', '~0').replace('/', '~1')}"


def normalize_names(raw_names: Sequence[str], limits: Limits, notes: list[str]) -> list[str]:
    """Return the column names stripped and in Unicode NFC; empty names become `column_N`.

    Raises:
        DatasetUnreadable: There are too many names, or names are too long, invalid or not unique.
    """
    if len(raw_names) > limits.columns_max:
        message = f"The table has {len(raw_names):,} columns; the limit is {limits.columns_max:,}."
        raise table_error("too_many_columns", message)
    names = [unicodedata.normalize("NFC", name).strip() for name in raw_names]
    too_long = [name for name in names if len(name) > limits.name_chars]
    if too_long:
        message = f"A column name may have at most {limits.name_chars} characters."
        raise columns_error("column_name_invalid", "Column name too long", too_long, message)
    invalid = [
        n for n in names if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in n)
    ]
    if invalid:
        message = "A column name must not contain control characters."
        raise columns_error("column_name_invalid", "Invalid column name", invalid, message)
    normalized = [name or f"column_{i}" for i, name in enumerate(names, start=1)]
    if unnamed := [f"column_{i}" for i, name in enumerate(names, start=1) if not name]:
        notes.append(f"Columns without a name were named: {', '.join(unnamed[:5])}.")
    duplicates = [name for name, count in Counter(normalized).items() if count > 1]
    if duplicates:
        message = "More than one column has this name; rename all but one of them."
        raise columns_error("duplicate_column", "Duplicate column name", duplicates, message)
    return normalized
