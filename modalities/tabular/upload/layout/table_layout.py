"""Layout of a table in a file: title rows above it, the header and the number of columns."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from modalities.tabular.type_casting import MISSING_MARKERS
from modalities.tabular.upload.layout.header_names import (
    SAME_KIND,
    are_counted,
    are_numbered_names,
    column_of,
    has_names,
)
from modalities.tabular.upload.layout.header_rows import join_header_rows
from modalities.tabular.upload.layout.rulers import is_ruler, is_ruler_above_names
from modalities.tabular.upload.layout.title_rows import TIME_NAME, names_below_titles
from modalities.tabular.upload.types.value_kinds import Kind, is_value, kind_of

Row = Sequence[str]

MAX_EXAMPLES = 5

_RUN = 2  # consecutive rows of the usual width that begin a table
_LETTERS = re.compile(r"[^\W\d_]|%")
_MAX_UNIT_ROWS, _MIN_BODY_ROWS = 10, 5
_MISSING_WORDS = frozenset(MISSING_MARKERS.words.to_pylist())


@dataclass(frozen=True)
class TableLayout:
    """Rows of a sample that are not values.

    `names` has one entry per column, "" if the file states no name. `header` is the index of the
    first row of the names, `header_rows` the number of these rows, and `first` the index of the
    first row of values.
    """

    names: tuple[str, ...]
    header: int | None
    first: int
    header_rows: int = 1

    @property
    def title_rows(self) -> list[int]:
        """Return the indices of the rows that are neither names nor values."""
        names = (
            range(0) if self.header is None else range(self.header, self.header + self.header_rows)
        )
        return [i for i in range(self.first) if i not in names]

    def issues(self) -> tuple[Issue, ...]:
        """Report names that were joined from several rows."""
        if self.header_rows == 1:
            return ()
        examples = tuple(printable(name) for name in self.names[:MAX_EXAMPLES])
        hint = (
            "The names stand in several rows, which were joined. Set `read.skip_lines` to use only "
            "the last of these rows."
        )
        return (Issue("header_rows", "info", self.header_rows, examples, hint),)


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
    if start + 1 < len(rows) and is_ruler_above_names(rows[start]):
        start += 1
    if (names := _names_with_delimiter(rows, start, width)) is not None:
        return TableLayout(names, start - 1, start)
    below = names_below_titles(rows, start)
    if below is not None or has_names(rows[start], rows[start + 1 :]):
        start = start if below is None else below
        return _below_header(rows, start, tuple(rows[start]))
    above = start - 1
    if above > 0 and is_ruler(rows[above]):
        above -= 1
    if above < 0:
        return TableLayout(("",) * width, None, start)
    if (names := _fitted_names(rows[above], rows[start:])) is not None:
        return TableLayout(names, above, start)
    if len(rows[above]) > 1 and not _is_title(rows[above], width):
        raise HeaderMismatchError(above, len(rows[above]), width)
    return TableLayout(("",) * width, None, start)


def _names_with_delimiter(rows: Sequence[Row], start: int, width: int) -> tuple[str, ...] | None:
    """Return the names above the first row if a delimiter ends them, but none of the rows."""
    names = [field.strip() for field in rows[start - 1]] if start else []
    if len(names) != width + 1 or names[-1] or not all(names[:-1]):
        return None
    are_words = not any(map(is_value, names)) and len(set(names)) == len(names)
    return tuple(names[:-1]) if are_words else None


def _below_header(rows: Sequence[Row], header: int, names: tuple[str, ...]) -> TableLayout:
    """Return the layout below the first row of names: more rows of names, rulers and units.

    Numbers above names are those that pandas writes for a table whose names it read as values.
    """
    below = rows[header + 1 :]
    if are_counted(names) and below and _is_unit_row(below[0], below[1:]):
        return _below_header(rows, header + 1, tuple(below[0]))
    names, count = join_header_rows(names, rows[header + 1 :])
    return TableLayout(names, header, _first_value_row(rows, header + count), count)


def _first_value_row(rows: Sequence[Row], start: int) -> int:
    """Return the index after the rows between the names and the values: rulers and units."""
    first = start + (start < len(rows) and is_ruler(rows[start]))
    for index in range(first, min(start + _MAX_UNIT_ROWS, len(rows) - _MIN_BODY_ROWS)):
        if not _is_unit_row(rows[index], rows[index + 1 :]):
            return index
        first = index + 1
    return first


def _is_unit_row(row: Row, body: Sequence[Row]) -> bool:
    """Return True for texts, such as units, above all columns of numbers and dates.

    A word for a missing value, such as NA, is not a unit, even if no other row has it.
    """
    has_text = False
    for i, field in enumerate(row):
        column = column_of(body, i)
        kinds = Counter(map(kind_of, column))
        kind: Kind = "number" if kinds["number"] >= kinds["date"] else "date"
        if kinds[kind] <= SAME_KIND * len(column):
            continue
        if kind_of(field) == kind or field.strip() in column:
            return False
        is_text = _LETTERS.search(field) and field.strip() not in _MISSING_WORDS
        has_text = has_text or bool(is_text)
    return has_text


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
    joined, count = join_header_rows(fitted, body)
    return TableLayout(joined, header, header + count, count)


def _first_table_row(rows: Sequence[Row], width: int) -> int:
    for start in range(len(rows)):
        run = rows[start : start + _RUN]
        if _is_title(rows[start], width) or len(rows[start]) != width:
            continue
        if all(len(row) == width for row in run) or has_names(rows[start], rows[start + 1 :]):
            return start
    return next((i for i, row in enumerate(rows) if len(row) == width), 0)


def _is_title(row: Row, width: int) -> bool:
    """Return True for a single text: a title, or one that a spreadsheet padded with empty cells."""
    filled = [field for field in row if field.strip()]
    return len(filled) <= 1 and (len(row) != width or width > 2)


def _fitted_names(row: Row, body: Sequence[Row]) -> tuple[str, ...] | None:
    """Return one name per column for a header with one field too many or too few.

    R omits the name of the row names, and some programs end only the header, or only the rows,
    with a delimiter. Returns None if no such rule explains the difference.
    """
    if not body:
        return None
    width = usual_width(body)
    if any(is_value(field) for field in row) and not are_numbered_names(row, body):
        return None
    if len(row) == width and has_names(row, body):
        return tuple(row)
    if len(row) == width + 1 and not row[-1].strip():
        return tuple(row[:-1])
    if len(row) == width - 1 > 0 and all(field.strip() for field in row):
        if all(len(each) < width or not each[-1].strip() for each in body):
            return (*row, "")
        return ("", *row) if _are_row_names(column_of(body, 0), row[0]) else (*row, "")
    return None


def _are_row_names(column: Sequence[str], name: str) -> bool:
    """Return True for numbers and for different texts, unless `name` fits dates among them."""
    if TIME_NAME.fullmatch(name.strip()) and all(kind_of(value) == "date" for value in column):
        return False
    return len(set(column)) == len(column) or all(map(str.isdecimal, column))
