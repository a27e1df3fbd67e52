"""Rows of titles and notes above the names of a table, as reports and worksheets have them."""

import re
from collections.abc import Sequence
from itertools import takewhile
from statistics import median

from modalities.tabular.upload.layout.header_names import column_of, has_names
from modalities.tabular.upload.types.value_kinds import is_value, kind_of

Row = Sequence[str]

_MAX_TITLE_ROWS, _MIN_BODY_ROWS = 15, 3
_MIN_NOTES = 3  # rows above the names, which are too many for names of groups of columns
_MIN_FILLED = 0.6  # share of the usual number of filled cells, in the row of the names
_MAX_FILLED = 0.5  # share of those of the names, in the rows above them
_MAX_NAME_CHARS = 60  # of the name of a group of columns
_MIN_DIFFERENT = 0.8  # share of the names
_MIN_TEXTS, _MIN_SHARE_OF_TEXTS = 8, 0.9  # of the fields above numbers
_MIN_TEXTS_OF_GROUPS = 4  # the same below names of groups only
_BODY_ROWS = 200
_NOTE = re.compile(
    r".*(?::(?:\s|$)|\uff1a)|\W*(?:source|note|back to|prepared|printed|created|page)\b",
    re.I | re.S,
)
_YEAR = re.compile(r"(?:1[5-9]|2[01])\d\d(?:[-/]\d\d(?:\d\d)?)?")
TIME_NAME = re.compile(
    r"(?i)(?:date|datum|fecha|data|year|jahr|a[nñ]o|ann[eé]e|anno|ano|month|monat|mes|mois|quarter|"
    r"week|woche|day|tag|time|zeit|period|periode|timestamp)"
)


def names_below_titles(rows: Sequence[Row], start: int) -> int | None:
    """Return the row of the names below rows of titles; None if there are no such rows.

    `start` is the first row of several cells. Names above groups of columns are no titles.
    """
    for names in (_below_sparse_rows, _below_other_texts, _above_times):
        if (index := names(rows, start)) is not None:
            return index
    return None


def _below_sparse_rows(rows: Sequence[Row], start: int) -> int | None:
    """Return the first row that names most columns, if the rows above it are half empty."""
    usual = median(map(_count_filled, rows[start : start + _BODY_ROWS]))
    above = list(
        takewhile(
            lambda i: _count_filled(rows[i]) < _MIN_FILLED * usual,
            range(start, _end(rows, start)),
        )
    )
    index = start + len(above)
    if not above or index >= len(rows) - _MIN_BODY_ROWS:
        return None
    filled = _count_filled(rows[index])
    are_sparse = all(_count_filled(rows[i]) <= _MAX_FILLED * filled for i in above)
    row, body = rows[index], rows[index + 1 :]
    groups = list(takewhile(lambda i: _names_groups(rows[i]), reversed(above)))
    least = _MIN_TEXTS if len(groups) < len(above) else _MIN_TEXTS_OF_GROUPS
    if not (are_sparse and (_are_new_names(row, body) or _are_texts(row, body, least))):
        return None
    return index - len(groups) if len(groups) < _MIN_NOTES else index


def _below_other_texts(rows: Sequence[Row], start: int) -> int | None:
    """Return the first row that names all columns, if there are rows of notes above it.

    Notes have cells without a text between others, and are too many for a header of several rows.
    """
    for index in range(
        start + _MIN_NOTES, min(start + _MAX_TITLE_ROWS, len(rows) - _MIN_BODY_ROWS)
    ):
        row, above = rows[index], rows[start:index]
        if any(all(map(str.strip, each)) or any(map(is_value, each)) for each in above):
            return None
        if all(map(str.strip, row)) and _are_new_names(row, rows[index + 1 :]):
            return index
    return None


def _above_times(rows: Sequence[Row], start: int) -> int | None:
    """Return the row with a name such as `Date` above dates, below rows of other texts."""
    if any(TIME_NAME.fullmatch(field.strip()) for field in rows[start]):
        return None
    for index in range(start + 1, _end(rows, start)):
        row, body = rows[index], rows[index + 1 :]
        if any(map(is_value, rows[index - 1])):
            return None
        if TIME_NAME.fullmatch(row[0].strip()) and _are_new_names(row, body):
            column = column_of(body, 0)
            are_times = all(kind_of(each) == "date" or _YEAR.fullmatch(each) for each in column)
            return index if column and are_times else None
    return None


def _are_new_names(row: Row, body: Sequence[Row]) -> bool:
    """Return True for names of columns, nearly all different, that are none of the values."""
    names = [field.strip() for field in row if field.strip()]
    if len(set(names)) < _MIN_DIFFERENT * len(names) or not has_names(row, body):
        return False
    return not any(name.strip() in column_of(body, i) for i, name in enumerate(row) if name.strip())


def _are_texts(row: Row, body: Sequence[Row], least: int) -> bool:
    """Return True for texts above numbers, among which may be a number, such as the age 0.

    There are at least `least` of them.
    """
    columns = [column_of(body, i) for i in range(len(row))]
    fields = [
        field
        for field, column in zip(row, columns, strict=True)
        if field.strip() and 2 * sum(map(is_value, column)) > len(column)
    ]
    texts = [field for field in fields if not is_value(field)]
    return len(texts) >= least and len(texts) >= _MIN_SHARE_OF_TEXTS * len(fields)


def _names_groups(row: Row) -> bool:
    """Return True for names above groups of columns, but not for a text and its value."""
    filled = [i for i, field in enumerate(row) if field.strip()]
    texts = [row[i].strip() for i in filled]
    if len(filled) < 2 or filled == [0, 1]:
        return False
    are_values = any(is_value(text) and not _YEAR.fullmatch(text) for text in texts)
    are_notes = any(_NOTE.match(text) or len(text) > _MAX_NAME_CHARS for text in texts)
    return not are_values and not are_notes


def _end(rows: Sequence[Row], start: int) -> int:
    """Return the index after the last row that may hold the names."""
    return min(start + _MAX_TITLE_ROWS, len(rows) - _MIN_BODY_ROWS)


def _count_filled(row: Row) -> int:
    return sum(bool(field.strip()) for field in row)
