"""Headers of several rows, as spreadsheets with merged cells and pandas write them."""

import re
from collections import Counter
from collections.abc import Sequence

from modalities.tabular.upload.layout.header_names import column_of
from modalities.tabular.upload.types.value_kinds import is_value, kind_of

Row = Sequence[str]

_MAX_ROWS = 4  # of one header
_MIN_BODY_ROWS = 3
_MIN_OPTIONS = 3  # columns that hold nothing but their name, as those of a survey do
_MIN_VALUES = 0.5  # share of numbers and dates in a column that shows that a text is a name
_MAX_NUMBERS = 0.1  # per text above numbers
_YEAR = re.compile(r"(?:1[89]|2[01])\d\d(?:[-/]\d\d(?:\d\d)?)?")


def join_header_rows(names: tuple[str, ...], below: Sequence[Row]) -> tuple[tuple[str, ...], int]:
    """Return the names, joined with those of the rows below, and the number of these rows.

    A row continues the header if the rows above it leave columns without a name, or with the name
    of another one, and it names these columns: `Sales,,Profit,` above `2023,2024,2023,2024`. A
    name above an empty cell holds for the columns to its right. Surveys have the options of a
    question below it, which some respondents chose. A row between two others may name a part of
    the columns below each name: `,Men,,Women,` below `Region,2023,,,`.
    """
    header, count = names, 1
    while count < _MAX_ROWS and len(below) - count >= _MIN_BODY_ROWS:
        row, body = below[count - 1], below[count:]
        if len(row) != len(names):
            break
        if _names_groups(header, row, body):
            header = _join(header, row, spread=count == 1)
        elif _divides_groups(header, row, body):
            header = _spread(header, row)
        else:
            break
        count += 1
    if count > 1 and len(below) - count >= _MIN_BODY_ROWS:
        row = below[count - 1]
        if len(row) == len(names) and _names_index(header, row, below[count:]):
            header = _join(header, row, spread=False)
            count += 1
    return header, count


def _names_groups(header: Row, row: Row, body: Sequence[Row]) -> bool:
    """Return True if `row` names the columns that share a name of `header`, or have none."""
    counts = Counter(name.strip() for name in header)
    grouped = [i for i, name in enumerate(header) if not name.strip() or counts[name.strip()] > 1]
    if len(grouped) < 2:
        return False
    if sum(not row[i].strip() for i in grouped) > max(1, len(grouped) // 10):
        return False
    above_values, num_options, num_repeated, num_numbers, num_texts = False, 0, 0, 0, 0
    for i, field in enumerate(map(str.strip, row)):
        column = [each[i].strip() for each in body if i < len(each) and each[i].strip()]
        if not field:
            continue
        kinds = Counter(map(kind_of, column))
        of_values = kinds["number"] + kinds["date"] > _MIN_VALUES * len(column)
        are_years = bool(column) and all(_YEAR.fullmatch(value) for value in column)
        is_year = _YEAR.fullmatch(field) and not are_years
        if kind_of(field) in {"number", "date"} and not is_year:
            num_numbers += 1
            continue
        num_texts += of_values
        if set(column) == {field} and len(column) < len(body):
            num_options += 1
        elif field in column and field != header[i].strip():  # a name that is merged downwards
            num_repeated += 1
        above_values = above_values or (of_values and i in grouped)
    if num_numbers > num_texts * _MAX_NUMBERS:  # the first of 0, 1-4, 5-9 may be one
        return False
    if num_options >= _MIN_OPTIONS:
        return num_repeated <= num_options // _MIN_OPTIONS
    return above_values and not num_repeated


def _divides_groups(header: Row, row: Row, body: Sequence[Row]) -> bool:
    """Return True if `row` divides groups of columns, which the row below it names one by one."""
    fields = [field.strip() for field in row if field.strip()]
    if len(fields) < 2 or len(body) <= _MIN_BODY_ROWS or len(body[0]) != len(header):
        return False
    if any(kind_of(f) in {"number", "date"} and not _YEAR.fullmatch(f) for f in fields):
        return False
    return _names_groups(_spread(header, row), body[0], body[1:])


def _spread(header: Row, row: Row) -> tuple[str, ...]:
    """Return the names of groups; each of both rows holds for the empty cells to its right."""
    names, group, part = [], "", ""
    for above, field in zip(map(str.strip, header), map(str.strip, row), strict=True):
        group, part = (above, field) if above else (group, field or part)
        names.append(" ".join(filter(None, dict.fromkeys((group, part)))))
    return tuple(names)


def _names_index(header: Row, row: Row, body: Sequence[Row]) -> bool:
    """Return True if `row` names the columns that have no name yet, as pandas does.

    In other columns it may have units.
    """
    unnamed = [i for i, name in enumerate(header) if not name.strip()]
    if not any(row[i].strip() for i in unnamed):
        return False
    units = [i for i, field in enumerate(row) if field.strip() and i not in unnamed]
    if units and not all(row[i].strip() for i in unnamed):
        return False
    return not any(is_value(row[i]) or row[i].strip() in column_of(body, i) for i in units)


def _join(header: Row, row: Row, *, spread: bool) -> tuple[str, ...]:
    names, group = [], ""
    for above, field in zip(map(str.strip, header), map(str.strip, row), strict=True):
        if above or not spread:
            group = above
        parts = [group, field] if field or above else [""]
        names.append(" ".join(dict.fromkeys(part for part in parts if part)))
        if not field:
            group = ""
    return tuple(names)
