"""Common form of all table formats: named columns and batches of their values."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from core.datasets.data_quality import Issue
from core.datasets.errors import MAX_ERRORS, printable
from core.errors import DatasetUnreadable, FieldError
from core.limits import Limits
from modalities.tabular.schema import Column

MAX_EXAMPLES = 5


@dataclass
class RawTable:
    """An opened table whose rows are not yet read.

    `schema` has only the types string, int64, float64, bool and timestamp[us]. `untyped` names the
    text columns whose type must be inferred from their values. `type_hints` hold what the file
    states about its types. With `decimal_comma`, the comma is the decimal mark of numbers whose
    texts do not show it. Columns of `unnamed` have no name in the file. `read` shows the reading
    options that were used. `missing_words` counts words that were replaced by null, by column, and
    `stripped` the texts of fields that had blanks around them. `notes`, `issues`, `missing_words`
    and `stripped` are complete once all batches are consumed.
    """

    format: str
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    untyped: frozenset[str] = frozenset()
    type_hints: Mapping[str, Column] = field(default_factory=dict)
    decimal_comma: bool = False
    skipped: frozenset[str] = frozenset()  # excluded columns whose type cannot be learned
    unnamed: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    read: Mapping[str, Any] = field(default_factory=dict)
    missing_words: Mapping[str, Counter[str]] = field(default_factory=dict)
    stripped: Counter[str] = field(default_factory=Counter)

    @property
    def has_stated_marks(self) -> bool:
        """Return True if the reading options state a mark of the numbers."""
        return bool(self.read.get("decimal") or self.read.get("thousands"))


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


def normalize_names(raw_names: Sequence[str], limits: Limits, issues: list[Issue]) -> list[str]:
    """Return the column names stripped and in Unicode NFC.

    An empty name becomes `column_N`, a repeated one gets a number: `a`, `a_2`. Both are reported.

    Raises:
        DatasetUnreadable: There are too many names, or names are too long or invalid.
    """
    if len(raw_names) > limits.columns_max:
        message = f"The table has {len(raw_names):,} columns; the limit is {limits.columns_max:,}."
        raise table_error("too_many_columns", message)
    names = [unicodedata.normalize("NFC", name).strip().strip("\ufeff") for name in raw_names]
    too_long = [name for name in names if len(name) > limits.column_name_chars]
    if too_long:
        message = f"A column name may have at most {limits.column_name_chars:,} characters."
        raise columns_error("column_name_invalid", "Column name too long", too_long, message)
    invalid = [name for name in names if any(_is_forbidden(character) for character in name)]
    if invalid:
        message = "A column name must not contain control characters."
        raise columns_error("column_name_invalid", "Invalid column name", invalid, message)
    padded = [n for n, raw in zip(names, raw_names, strict=True) if n and raw.strip() != raw]
    if padded:
        issues.append(stripped_names_issue(padded))
    unique = _with_unique_names([n or f"column_{i}" for i, n in enumerate(names, start=1)])
    renamed = [
        f"column {i}: {printable(new)}"
        for i, (old, new) in enumerate(zip(names, unique, strict=True), start=1)
        if old != new
    ]
    if renamed:
        hint = "These columns have no name, or that of an earlier column, and were given another."
        issues.append(
            Issue("column_renamed", "info", len(renamed), tuple(renamed[:MAX_EXAMPLES]), hint)
        )
    return unique


def stripped_issue(counts: Mapping[int, int], names: Sequence[str]) -> Issue:
    """Return the issue of values that had blanks at their ends; `counts` by index of the column."""
    examples = [
        f"{printable(names[i])}: {n:,}" for i, n in sorted(counts.items()) if i < len(names)
    ]
    hint = (
        "These values had blanks before or after them, which were stripped; samples have none. To "
        "keep blanks, enclose the values in quotation marks in a text file."
    )
    total = sum(counts.values())
    return Issue("stripped_blanks", "info", total, tuple(examples[:MAX_EXAMPLES]), hint)


def stripped_names_issue(names: Sequence[str]) -> Issue:
    hint = "These names of columns had blanks before or after them, which were stripped."
    examples = tuple(printable(name) for name in names[:MAX_EXAMPLES])
    return Issue("stripped_names", "info", len(names), examples, hint)


def _is_forbidden(character: str) -> bool:
    """Return True for a control character. Survey tools write line breaks into names."""
    return character not in "\n\r\t" and unicodedata.category(character) in {"Cc", "Cs"}


def _with_unique_names(names: Sequence[str]) -> list[str]:
    """Return the names; a repeated one gets the first number that makes it unique."""
    unique: list[str] = []
    used, counts = set(names), dict.fromkeys(names, 0)
    for name in names:
        counts[name] += 1
        new = name
        if counts[name] > 1:
            while (new := f"{name}_{counts[name]}") in used:
                counts[name] += 1
        used.add(new)
        unique.append(new)
    return unique
