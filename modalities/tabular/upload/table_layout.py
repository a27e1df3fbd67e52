"""Layout of a table in a file: title rows above it, the header and the number of columns."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from modalities.tabular.type_casting import MISSING_MARKERS
from modalities.tabular.upload.header_rows import join_header_rows
from modalities.tabular.upload.value_kinds import Kind, is_value, kind_of
from models.tabular.public_words import are_listed

Row = Sequence[str]

MAX_EXAMPLES = 5

_RUN = 2  # consecutive rows of the usual width that begin a table
_SAME_KIND = 0.8  # fraction of a column's values that share a kind
_INTEGER = re.compile(r"\d{1,9}")
_PLAIN_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?")
_MANY_NUMBERS = 4  # so many names in a progression are not values by coincidence
_MAX_SIMILAR = 0.02  # fraction of rows that may be progressions below a header that is one
_LETTERS = re.compile(r"[^\W\d_]|%")
_MAX_UNIT_ROWS, _MIN_BODY_ROWS = 10, 5
_MIN_NOTES = 3  # rows above the names
_MISSING_WORDS = frozenset(MISSING_MARKERS.words.to_pylist())
_RULER = re.compile(r"[-+=:| ]*-[-+=:| ]*")
_FEW, _MANY, _SAME_SHAPE = 20, 200, 0.9  # values of a column, and share of one shape
_CODE = re.compile(r"[A-Z0-9]{2,}")
_YEAR_STEPS = {1, 2, 5, 10}
_MIN_YEAR, _MAX_YEAR = 1800, 2200


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
    if has_names(rows[start], rows[start + 1 :]):
        start = _below_notes(rows, start)
        return _below_header(rows, start, tuple(rows[start]))
    above = start - 1
    if above > 0 and _is_ruler(rows[above]):
        above -= 1
    if above < 0:
        return TableLayout(("",) * width, None, start)
    if (names := _fitted_names(rows[above], rows[start:])) is not None:
        return TableLayout(names, above, start)
    if len(rows[above]) > 1 and not _is_title(rows[above], width):
        raise HeaderMismatchError(above, len(rows[above]), width)
    return TableLayout(("",) * width, None, start)


def _below_notes(rows: Sequence[Row], start: int) -> int:
    """Return the first row that names all columns, if there are rows of notes above it.

    Notes have cells without a text between others, and are too many for a header of several rows.
    """
    for index in range(start + _MIN_NOTES, min(start + _MAX_UNIT_ROWS, len(rows) - _MIN_BODY_ROWS)):
        row, above, body = rows[index], rows[start:index], rows[index + 1 :]
        if any(all(map(str.strip, each)) or any(map(is_value, each)) for each in above):
            return start
        columns = [_column(body, i) for i in range(len(row))]
        are_names = len(set(row)) == len(row) and all(map(str.strip, row)) and has_names(row, body)
        if are_names and not any(map(list.__contains__, columns, row)):
            return index
    return start


def _below_header(rows: Sequence[Row], header: int, names: tuple[str, ...]) -> TableLayout:
    """Return the layout below the first row of names: more rows of names, rulers and units.

    Numbers above names are those that pandas writes for a table whose names it read as values.
    """
    below = rows[header + 1 :]
    if _are_counted(names) and below and _is_unit_row(below[0], below[1:]):
        return _below_header(rows, header + 1, tuple(below[0]))
    names, count = join_header_rows(names, rows[header + 1 :])
    return TableLayout(names, header, _first_value_row(rows, header + count), count)


def _first_value_row(rows: Sequence[Row], start: int) -> int:
    """Return the index after the rows between the names and the values: rulers and units."""
    first = start + (start < len(rows) and _is_ruler(rows[start]))
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
        column = _column(body, i)
        kinds = Counter(map(kind_of, column))
        kind: Kind = "number" if kinds["number"] >= kinds["date"] else "date"
        if kinds[kind] <= _SAME_KIND * len(column):
            continue
        if kind_of(field) == kind or field.strip() in column:
            return False
        is_text = _LETTERS.search(field) and field.strip() not in _MISSING_WORDS
        has_text = has_text or bool(is_text)
    return has_text


def _is_ruler(row: Row) -> bool:
    """Return True for a line of hyphens, which database programs write below the names."""
    return all(not field.strip() or _RULER.fullmatch(field) for field in row) and any(row)


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
    if any(is_value(field) for field in row) and not _are_numbered_names(row, body):
        return None
    if len(row) == width and has_names(row, body):
        return tuple(row)
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
    columns = [_column(body, i) for i in range(len(row))]
    pairs = list(zip(map(str.strip, row), columns, strict=True))
    return not any(_fits_column(*pair) for pair in pairs) and not _is_row_of_texts(pairs)


def _is_row_of_texts(pairs: Sequence[tuple[str, Sequence[str]]]) -> bool:
    """Return True if a field above texts is a code such as A320, or a name such as France.

    All columns hold texts: those of numbers and dates show by themselves whether there are names.
    """
    if any(2 * sum(map(is_value, column[:_FEW])) > len(column[:_FEW]) for _, column in pairs):
        return False
    codes = [_has_code_shape(field, column) for field, column in pairs]
    return any(codes) or any(_is_listed(*pair) for pair in pairs)


def _is_listed(field: str, column: Sequence[str]) -> bool:
    """Return True for a country above countries, but not for English above a list of languages."""
    if len(column) < _FEW or not (are_listed([field]) and are_listed(column[:_MANY])):
        return False
    return field not in column or len(set(column)) < len(column)


def _has_code_shape(field: str, column: Sequence[str]) -> bool:
    """Return True for capitals and digits, of the length that nearly all values have."""
    same = sum(len(value) == len(field) and bool(_CODE.fullmatch(value)) for value in column)
    has_digit = any(map(str.isdigit, field)) and _CODE.fullmatch(field) is not None
    return has_digit and len(column) >= _FEW and same >= _SAME_SHAPE * len(column)


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
    values = [value for value in column if not _PLAIN_NUMBER.fullmatch(value)]
    same = sum(kind_of(value) == kind for value in values)
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
    if len(numbers) == 1:
        return bool(others) and _differs_from_columns(fields, body)
    if not others and len(numbers) < _MANY_NUMBERS and not _differs_from_columns(fields, body):
        return False
    indices = [i for i, field in enumerate(fields) if _INTEGER.fullmatch(field)]
    similar = sum(_is_progression(_integers(each, indices)) for each in body)
    return similar <= max(1, _MAX_SIMILAR * len(body))


def _are_counted(names: Row) -> bool:
    """Return True for 0, 1, 2… in all columns, or all but the first one."""
    fields = [name.strip() for name in names]
    fields = fields[1:] if not fields[0] else fields
    return len(fields) > 1 and fields == [str(i) for i in range(len(fields))]


def _integers(row: Row, indices: Sequence[int]) -> list[int]:
    """Return the integers in these columns; [] if one of them holds anything else."""
    fields = [row[i].strip() for i in indices if i < len(row)]
    return [int(f) for f in fields] if all(_INTEGER.fullmatch(f) for f in fields) else []


def _is_progression(numbers: Sequence[int]) -> bool:
    """Return True for 0, 1, 2…, for 1, 2, 3…, and for years at equal distances."""
    if not numbers:
        return False
    steps = {b - a for a, b in pairwise(numbers)}
    if all(_MIN_YEAR <= number <= _MAX_YEAR for number in numbers):
        return len(steps) <= 1 and steps <= _YEAR_STEPS
    return steps == {1} and numbers[0] in {0, 1}


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
