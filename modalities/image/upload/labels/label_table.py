"""Tables of text in an archive that may list labels, and the reader of CSV in any common form."""

import codecs
import csv
import io
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable
from modalities.image.upload.labels.split_names import role_of_name

SAMPLE_ROWS = 2_000
_SEARCHED_ROWS = 200_000

Row = list[str | None]

_DELIMITERS = ",;\t|"
_MAX_TITLE_LINES = 10
_FREE_FORM = (".txt", ".lst", ".dat", ".data")
_UNIT = "\x1f"  # delimiter of a list of names, which has none
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")


class LabelTable(NamedTuple):
    """A table in an archive. Names of columns are "1", "2"… if the file has no header."""

    name: str
    header: list[str]
    read_rows: Callable[[], Iterator[Row]]
    part: str | None = None  # the name of a sheet or a key above the table, such as "train"

    @property
    def part_name(self) -> str:
        """The name that may say to which part of the dataset the table belongs."""
        return self.part or posixpath.splitext(posixpath.basename(self.name))[0]

    def sample(self, is_image: Callable[[str], bool] | None = None) -> list[Row]:
        """Return the first rows, or the first that name an image if the archive holds only some."""
        rows = list(islice(self.read_rows(), SAMPLE_ROWS))
        if is_image is None or len(rows) < SAMPLE_ROWS or name_images(rows, is_image):
            return rows
        naming = (
            row for row in islice(self.read_rows(), _SEARCHED_ROWS) if name_images([row], is_image)
        )
        return list(islice(naming, SAMPLE_ROWS)) or rows


def name_images(rows: Sequence[Row], is_image: Callable[[str], bool]) -> bool:
    return any(field and is_image(field) for row in rows for field in row)


def to_text(value: Any) -> str | None:
    """Return a scalar as text; whole numbers have no decimals, and flags are 0 and 1."""
    if isinstance(value, bool | float) and float(value).is_integer():
        return str(int(value))
    return None if value is None else str(value)


def decode_text(content: bytes, name: str) -> str:
    has_mark = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-8-sig", "utf-16" if has_mark else "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise invalid_table(name, "the file is not text in UTF-8")


def read_csv(text: str, name: str, is_image: Callable[[str], bool]) -> LabelTable:
    """Read a table with delimiters. `is_image` recognizes names of images.

    Comments and titles above the table are skipped.
    """
    delimiter = _find_delimiter(text, name, is_image)

    def read_lines() -> Iterator[tuple[int, list[str]]]:
        return _split_lines(text, name, delimiter)

    n_titles = _count_title_lines([line for _, line in islice(read_lines(), 2 * _MAX_TITLE_LINES)])
    first = next(islice(read_lines(), n_titles, None), (0, []))[1]
    if not first:
        raise invalid_table(name, "the file is empty")
    has_header = not any(map(is_image, first))
    header = _unique_names(first, has_header=has_header)

    def read_rows() -> Iterator[Row]:
        for number, line in islice(read_lines(), n_titles + has_header, None):
            # Spreadsheets leave out empty fields at the end of a line, or add some.
            if any(line[len(header) :]) or len(line) < min(2, len(header)):
                problem = f"line {number} has {len(line)} fields instead of {len(header)}"
                raise invalid_table(name, problem)
            row: Row = [*line, *[""] * (len(header) - len(line))]
            yield row[: len(header)]

    return LabelTable(name, header, read_rows)


def _split_lines(text: str, name: str, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """Yield the numbers and the fields of lines that are not blank."""
    if delimiter is None:
        for number, line in enumerate(io.StringIO(text), 1):
            if line.strip():
                yield number, line.strip().split(None, 1)
        return
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        for fields in lines:
            if any(fields):
                yield lines.line_num, [field.strip() for field in fields]
    except csv.Error as error:
        problem = f"line {lines.line_num} is not valid CSV: {error}"
        raise invalid_table(name, problem) from error


def _count_title_lines(lines: Sequence[list[str]]) -> int:
    """Return how many lines precede the table: comments, and titles of one field.

    All of the following lines must have the same number of fields, above one.
    """
    count = 0
    while count < len(lines) - 1 and lines[count][0].startswith("#") and len(lines[count]) == 1:
        count += 1
    widths = [len(line) for line in lines]
    for i in range(count, min(len(lines) - 2, _MAX_TITLE_LINES)):
        if len(set(widths[i:])) == 1:
            return i if widths[i] > 1 else count
        if widths[i] > 1:
            break
    return count


def _unique_names(first: Sequence[str], *, has_header: bool) -> list[str]:
    """Return names of the columns: numbers for missing ones, and numbers after repeated ones."""
    names, counts = [], Counter[str]()
    for i, field in enumerate(first):
        name = field if has_header and field else str(i + 1)
        counts[name.lower()] += 1
        names.append(name if counts[name.lower()] == 1 else f"{name}_{counts[name.lower()]}")
    return names


def _find_delimiter(text: str, name: str, is_image: Callable[[str], bool]) -> str | None:
    """Return the delimiter that divides the first lines into the same number of fields, over 1.

    Returns None for lines of a name and a text with blanks: `0034309 Boeing 737`.
    """
    lines = [line for line in islice(io.StringIO(text), 20) if line.strip()]
    is_free_form = name.lower().endswith(_FREE_FORM)
    if is_free_form and lines and all(is_image(line.strip()) for line in lines):
        return _UNIT
    best, best_count = ",", 0
    for delimiter in _DELIMITERS + (" " if is_free_form else ""):
        counts = [line.count(delimiter) for line in lines]
        if counts and min(counts) == max(counts) > best_count:
            best, best_count = delimiter, counts[0]
    if is_free_form and best in ", " and all(is_image(line.split(None, 1)[0]) for line in lines):
        return " " if _has_columns([line.split() for line in lines]) else None
    if best_count or not lines:
        return best
    # Fields with a delimiter in quotes: the header decides.
    return max(_DELIMITERS, key=lines[0].count)


def _has_columns(rows: Sequence[list[str]]) -> bool:
    """Return True if words are fields: as many in each row, with numbers or parts among them.

    Otherwise all words after the first one are a text, such as `Boeing 737`.
    """
    if len({len(row) for row in rows}) > 1:
        return False
    columns = list(zip(*rows, strict=True))[1:]
    return len(columns) == 1 or any(
        all(map(is_number, column)) or all(map(role_of_name, column)) for column in columns
    )


def is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text))


def invalid_table(name: str, problem: str) -> DatasetUnreadable:
    message = f"{printable(name)} is invalid: {problem}."
    return unreadable_error("labels_file_invalid", message, pointer=file_pointer(name))
