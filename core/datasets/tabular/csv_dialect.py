"""How a text file separates its fields: found by looking at its beginning."""

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
    """`header` is None when the first row holds values."""

    delimiter: str
    quote: str
    newline: str
    width: int
    header: tuple[str, ...] | None


def detect_dialect(sample: str, *, cut: bool) -> CsvDialect | None:
    """None when there is no row. `cut`: the sample is not all there is."""
    newline = "\n" if "\n" in sample else "\r"
    quote = _quote(sample)
    found = [(delimiter, _rows(sample, delimiter, quote, cut)) for delimiter in DELIMITERS]
    delimiter, rows = max(found, key=lambda pair: _fitness(pair[1]))
    if not rows:
        return None
    header = tuple(rows[0])
    if _is_values(rows[0]) and not _are_numbers_as_names(rows[0]):
        width = Counter(len(row) for row in rows).most_common(1)[0][0]
        return CsvDialect(delimiter, quote, newline, width, None)
    return CsvDialect(delimiter, quote, newline, len(header), header)


def _quote(sample: str) -> str:
    """The apostrophe where fields are wrapped in it and none in quotation marks."""
    single = len(re.findall(r"(?:^|[,;\t|])[ ]*'[^'\n]*'[ ]*(?=[,;\t|\r\n]|$)", sample, re.M))
    double = len(re.findall(r'(?:^|[,;\t|])[ ]*"', sample, re.M))
    return "'" if single > 1 and not double and 2 * single > sample.count("'") * 0.9 else '"'


def _rows(sample: str, delimiter: str, quote: str, cut: bool) -> list[list[str]]:
    lines = sample.splitlines(keepends=True)
    if cut and len(lines) > 1:
        lines = lines[:-1]
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote, skipinitialspace=True)
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):  # a field without end: what is before it has to do
        for row in reader:
            if any(field.strip() for field in row):
                rows.append(row)
            if len(rows) == SAMPLE_ROWS:
                break
    return rows[:-1] if cut and 1 < len(rows) < SAMPLE_ROWS else rows  # it may be half a row


def _fitness(rows: Sequence[Sequence[str]]) -> tuple[float, int]:
    """The share of rows that have the most common number of fields, if that is not 1."""
    if not rows:
        return 0.0, 0
    width, count = Counter(len(row) for row in rows).most_common(1)[0]
    return (count / len(rows), width) if width > 1 else (0.0, 1)


def _is_values(row: Sequence[str]) -> bool:
    return any(_NUMBER.fullmatch(field.strip()) for field in row)


def _are_numbers_as_names(row: Sequence[str]) -> bool:
    """Whole numbers that count up, perhaps after the empty name of an index: 0, 1, 2…"""
    fields = [field.strip() for field in row]
    numbers = fields[1:] if fields[0] == "" else fields
    if not numbers or not all(_INTEGER.fullmatch(field) for field in numbers):
        return False
    found = [int(field) for field in numbers]
    return len(found) > 1 and found == list(range(found[0], found[0] + len(found)))
