"""Layout of a table in a file: title rows above it, the header and the number of columns."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from modalities.tabular.upload.value_kinds import is_value, kind_of

Row = Sequence[str]

_RUN = 2  # consecutive rows of the usual width that begin a table
_SAME_KIND = 0.8  # fraction of a column's values that share a kind
_INTEGER = re.compile(r"\d{1,9}")
_PLAIN_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?")
_MIN_YEAR, _MAX_YEAR = 1800, 2200


@dataclass(frozen=True)
class TableLayout:
    """Rows of a sample that are not values.

    `names` has one entry per column, "" if the file states no name. `header` is the index of the
    row of the names, and `first` the index of the first row of values.
    """

    names: tuple[str, ...]
    header: int | None
    first: int


class HeaderMismatchError(ValueError):
    """The header row has a different number of fields than the rows below it."""

    def __init__(self, row: int, names: int, width: int) -> None:
        super().__init__()
        self.row = row
        self.names = names
        self.width = width


def usual_width(rows: Sequence[Row]) -> int:
    """Return the most common number of fields; the larger one of two that are equally common."""
    return max(Counter(len(row) for row in rows).items(), key=lambda item: (item[1], item[0]))[0]


def detect_layout(rows: Sequence[Row]) -> TableLayout:
    """Detect title rows and the header. `rows` must not be empty.

    Raises:
        HeaderMismatchError: The row above the values has too many or too few names.
    """
    width = usual_width(rows)
    start = _first_table_row(rows, width)
    body = rows[start + 1 :]
    if start and not has_names(rows[start], body):
        above = rows[start - 1]
        if (names := _fitted_names(above, rows[start:])) is not None:
            return TableLayout(names, start - 1, start)
        if len(above) > 1 and len(above) != width and not _is_title(above, width):
            raise HeaderMismatchError(start - 1, len(above), width)
    if has_names(rows[start], body):
        return TableLayout(tuple(rows[start]), start, start + 1)
    return TableLayout(("",) * width, None, start)


def layout_with_header(rows: Sequence[Row], header: int | None) -> TableLayout:
    """Return the layout for a header row that the client states; None if there is none.

    Raises:
        HeaderMismatchError: The header has too many or too few names.
    """
    if header is None:
        return TableLayout(("",) * usual_width(rows), None, 0)
    names, body = rows[header], rows[header + 1 :]
    width = usual_width(body) if body else len(names)
    fitted = tuple(names) if len(names) == width else _fitted_names(names, body)
    if fitted is None:
        raise HeaderMismatchError(header, len(names), width)
    return TableLayout(fitted, header, header + 1)


def _first_table_row(rows: Sequence[Row], width: int) -> int:
    for start in range(len(rows)):
        run = rows[start : start + _RUN]
        if all(len(row) == width for row in run) and not _is_title(rows[start], width):
            return start
    return next((i for i, row in enumerate(rows) if len(row) == width), 0)


def _is_title(row: Row, width: int) -> bool:
    """Return True for a single text: a title, or one that a spreadsheet padded with empty cells."""
    filled = [field for field in row if field.strip()]
    if len(row) != width:
        return len(filled) <= 1
    return width > 2 and len(filled) <= 1 and not any(field.strip() for field in row[1:])


def _fitted_names(row: Row, body: Sequence[Row]) -> tuple[str, ...] | None:
    """Return one name per column for a header with one field too many or too few.

    R omits the name of the row names, and some programs end only the header, or only the rows,
    with a delimiter. Returns None if no such rule explains the difference.
    """
    if not body:
        return None
    width = usual_width(body)
    if any(is_value(field) for field in row) and not _are_numbered_names(row, body):
        return None
    if len(row) == width + 1 and not row[-1].strip():
        return tuple(row[:-1])
    if len(row) == width - 1 > 0 and all(field.strip() for field in row):
        if all(len(each) < width or not each[-1].strip() for each in body):
            return (*row, "")
        return ("", *row)
    return None


def has_names(row: Row, body: Sequence[Row]) -> bool:
    """Return True if `row` holds the names of the columns of `body`."""
    if not any(field.strip() for field in row):
        return False
    if not body:
        return not any(is_value(field) for field in row)
    if _are_numbered_names(row, body):
        return True
    return not any(_fits_column(field, _column(body, i)) for i, field in enumerate(row))


def _column(body: Sequence[Row], index: int) -> list[str]:
    return [row[index].strip() for row in body if index < len(row) and row[index].strip()]


def _fits_column(field: str, column: Sequence[str]) -> bool:
    """Return True if `field` is a number or date, as the column's values are.

    A plain number above a column of texts is a value too.
    """
    kind = kind_of(field)
    if kind not in {"number", "date"}:
        return False
    if _PLAIN_NUMBER.fullmatch(field.strip()):
        return True
    same = sum(kind_of(value) == kind for value in column)
    return not column or same > _SAME_KIND * len(column)


def _are_numbered_names(row: Row, body: Sequence[Row]) -> bool:
    """Return True if the numbers of `row` are names: 0, 1, 2… or years.

    pandas writes such a header for columns without names, and tables by year have one column for
    each year.
    """
    fields = [field.strip() for field in row]
    numbers = [int(field) for field in fields if _INTEGER.fullmatch(field)]
    others = [field for field in fields if field and not _INTEGER.fullmatch(field)]
    if not numbers or any(kind_of(field) == "number" for field in others):
        return False
    if not _is_progression(numbers):
        return False
    if not others:
        return len(numbers) > 1
    if len(numbers) > 2:
        values = [int(value) for value in body[0] if _INTEGER.fullmatch(value.strip())]
        return len(values) < len(numbers) or not _is_progression(values)
    return _differs_from_columns(fields, body)


def _is_progression(numbers: Sequence[int]) -> bool:
    """Return True for consecutive integers, and for years at equal distances."""
    steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    are_years = all(_MIN_YEAR <= number <= _MAX_YEAR for number in numbers)
    if not steps:
        return are_years
    return steps == {1} or (are_years and len(steps) == 1 and steps != {0})


def _differs_from_columns(fields: Sequence[str], body: Sequence[Row]) -> bool:
    """Return True if each number is outside its column's range and each text is a new one."""
    for i, field in enumerate(fields):
        column = _column(body, i)
        if field in column:
            return False
        if _INTEGER.fullmatch(field):
            integers = [int(value) for value in column if _INTEGER.fullmatch(value)]
            all_integers = len(integers) == len(column)
            if integers and all_integers and min(integers) <= int(field) <= max(integers):
                return False
    return True
