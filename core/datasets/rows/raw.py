"""What every format comes to: named columns and batches of their values."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from core.datasets.faults import MOST, shown
from core.datasets.rows.schema import Column
from core.errors import Fault, UnreadableDataset
from core.settings import Limits


@dataclass
class RawTable:
    """`schema` has string, int64, float64, bool and timestamp[us] only. `loose` names the columns
    of text whose values may stand for something else.

    `notes` grow until the last batch has been taken.
    """

    format: str
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    loose: frozenset[str] = frozenset()
    hints: Mapping[str, Column] = field(default_factory=dict)
    decimal_comma: bool = False
    skipped: frozenset[str] = frozenset()  # could not be learned, and were to be dropped
    notes: list[str] = field(default_factory=list)


def table_error(code: str, message: str, *, pointer: str = "/file") -> UnreadableDataset:
    return UnreadableDataset(message, code=code, faults=[Fault(pointer, code, message)])


def columns_error(code: str, what: str, names: Sequence[str], message: str) -> UnreadableDataset:
    """A fault for each column; `what` is the beginning of a sentence, which they end."""
    faults = [Fault(column_pointer(name), code, f"{shown(name)}: {message}") for name in names]
    listed = ", ".join(shown(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
    return UnreadableDataset(f"{what} {listed}: {message}", code=code, faults=faults[:MOST])


def skipped_note(names: Sequence[str]) -> str:
    listed = ", ".join(shown(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
    return f"Columns that cannot be learned were left out, as asked: {listed}."


def column_pointer(name: str) -> str:
    return f"/file/columns/{shown(name).replace('~', '~0').replace('/', '~1')}"


def clean_names(written: Sequence[str], limits: Limits, notes: list[str]) -> list[str]:
    """Stripped, in NFC, all different. Raises UnreadableDataset."""
    if len(written) > limits.columns_max:
        message = f"there are {len(written):,} columns; at most {limits.columns_max:,} are read"
        raise table_error("too_many_columns", message)
    names = [unicodedata.normalize("NFC", name).strip() for name in written]
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
