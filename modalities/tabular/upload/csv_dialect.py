"""Detection of a CSV file's dialect from its first characters."""

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_CHARS = 128 * 1024
SAMPLE_ROWS = 200

_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?")
_INTEGER = re.compile(r"\d+")


@dataclass(frozen=True)
class CsvDialect:
    """Syntax of a CSV file. `header` is None if the first row holds values."""

    delimiter: str
    quote: str
    newline: str
    width: int
    header: tuple[str, ...] | None


def detect_dialect(sample: str, *, cut: bool) -> CsvDialect | None:
    """Return the dialect, or None if there is no row. `cut`: the sample is not the whole file."""
    newline = "\n" if "\n" in sample else "\r"
    quote = _detect_quote(sample)
    candidates = [(delimiter, _rows(sample, delimiter, quote, cut)) for delimiter in DELIMITERS]
    delimiter, rows = max(candidates, key=lambda pair: _fitness(pair[1]))
    if not rows:
        return None
    header = tuple(rows[0])
    if _holds_values(rows[0]) and not _is_numbered_header(rows[0]):
        width = Counter(len(row) for row in rows).most_common(1)[0][0]
        return CsvDialect(delimiter, quote, newline, width, None)
    return CsvDialect(delimiter, quote, newline, len(header), header)


def _detect_quote(sample: str) -> str:
    """Return an apostrophe if fields are quoted with it and none with a quotation mark."""
    single = len(re.findall(r"(?:^|[,;\t|])[ ]*'[^'\n]*'[ ]*(?=[,;\t|\r\n]|$)", sample, re.M))
    double = len(re.findall(r'(?:^|[,;\t|])[ ]*"', sample, re.M))
    return "'" if single > 1 and not double and 2 * single > sample.count("'") * 0.9 else '"'


def _rows(sample: str, delimiter: str, quote: str, cut: bool) -> list[list[str]]:
    lines = sample.splitlines(keepends=True)
    if cut and len(lines) > 1:
        lines = lines[:-1]
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote, skipinitialspace=True)
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):  # an unterminated field: use the rows before it
        for row in reader:
            if any(field.strip() for field in row):
                rows.append(row)
            if len(rows) == SAMPLE_ROWS:
                break
    # The last row of a cut sample may be incomplete.
    return rows[:-1] if cut and 1 < len(rows) < SAMPLE_ROWS else rows


def _fitness(rows: Sequence[Sequence[str]]) -> tuple[float, int]:
    """Return (fraction of rows with the most common field count, that count); (0, 1) if it is 1."""
    if not rows:
        return 0.0, 0
    width, count = Counter(len(row) for row in rows).most_common(1)[0]
    return (count / len(rows), width) if width > 1 else (0.0, 1)


def _holds_values(row: Sequence[str]) -> bool:
    return any(_NUMBER.fullmatch(field.strip()) for field in row)


def _is_numbered_header(row: Sequence[str]) -> bool:
    """Return True for consecutive integers (0, 1, 2…), with or without an unnamed index column.

    pandas writes such a header for a table whose columns have no names.
    """
    fields = [field.strip() for field in row]
    names = fields[1:] if fields[0] == "" else fields
    if not names or not all(_INTEGER.fullmatch(name) for name in names):
        return False
    numbers = [int(name) for name in names]
    return len(numbers) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
