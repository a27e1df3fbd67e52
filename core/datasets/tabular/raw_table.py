"""What every format comes to: named columns and batches of their values."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from core.datasets.errors import MAX_ERRORS, printable
from core.datasets.tabular.schema import Column
from core.errors import DatasetUnreadable, FieldError
from core.settings import Limits


@dataclass
class RawTable:
    """`schema` has string, int64, float64, bool and timestamp[us] only. `untyped` names the columns
    of text whose values may stand for something else.

    `notes` grow until the last batch has been taken.
    """

    format: str
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    untyped: frozenset[str] = frozenset()
    type_hints: Mapping[str, Column] = field(default_factory=dict)
    decimal_comma: bool = False
    skipped: frozenset[str] = frozenset()  # could not be learned, and were to be dropped
    notes: list[str] = field(default_factory=list)


def table_error(code: str, message: str, *, pointer: str = "/file") -> DatasetUnreadable:
    return DatasetUnreadable(message, code=code, field_errors=[FieldError(pointer, code, message)])


def columns_error(code: str, summary: str, names: Sequence[str], message: str) -> DatasetUnreadable:
    """A fault for each column; `what` is the beginning of a sentence, which they end."""
    faults = [
        FieldError(column_pointer(name), code, f"{printable(name)}: {message}") for name in names
    ]
    listed = ", ".join(printable(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
    return DatasetUnreadable(
        f"{summary} {listed}: {message}", code=code, field_errors=faults[:MAX_ERRORS]
    )


def skipped_note(names: Sequence[str]) -> str:
    listed = ", ".join(printable(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
    return f"Columns that cannot be learned were left out, as asked: {listed}."


def column_pointer(name: str) -> str:
    return f"/file/columns/{printable(name).replace('~', '~0').replace('/', '~1')}"


def normalize_names(raw_names: Sequence[str], limits: Limits, notes: list[str]) -> list[str]:
    """Stripped, in NFC, all different. Raises DatasetUnreadable."""
    if len(raw_names) > limits.columns_max:
        message = f"there are {len(raw_names):,} columns; at most {limits.columns_max:,} are read"
        raise table_error("too_many_columns", message)
    names = [unicodedata.normalize("NFC", name).strip() for name in raw_names]
    long = [name for name in names if len(name) > limits.name_chars]
    if long:
        message = f"a name may have {limits.name_chars} characters"
        raise columns_error(
            "column_name_invalid", "the names of columns are too long:", long, message
        )
    bad = [n for n in names if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in n)]
    if bad:
        message = "a name holds control characters"
        raise columns_error("column_name_invalid", "columns cannot be named so:", bad, message)
    named = [name or f"column_{i}" for i, name in enumerate(names, start=1)]
    if unnamed := [f"column_{i}" for i, name in enumerate(names, start=1) if not name]:
        notes.append(f"Columns without a name were given one: {', '.join(unnamed[:5])}.")
    doubled = [name for name, count in Counter(named).items() if count > 1]
    if doubled:
        message = "the name stands more than once; rename one of them"
        raise columns_error("duplicate_column", "columns have the same name:", doubled, message)
    return named
