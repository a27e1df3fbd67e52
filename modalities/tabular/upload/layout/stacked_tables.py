"""Tables below each other in one file or sheet, of which the longest one is read.

A further table begins below an empty row with names that the table above does not have. Without
a title, its columns must differ from those above in number or kind. Or the texts that repeat in its
columns are others, and the letter case shows that the first row has names. Else it may be the same
table, whose first row below the empty one has words such as "not measured" for its numbers.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from modalities.tabular.upload.layout.header_names import SAME_KIND, column_of, has_names
from modalities.tabular.upload.raw_table import MAX_EXAMPLES
from modalities.tabular.upload.types.value_kinds import is_value, kind_of

MAX_ROWS = 5_000  # of a file that is searched
MIN_ROWS = 2  # of each table, below its names
MAX_DIFFERENT = 0.4  # different ones per text of a column that has categories
MAX_SAME_NAMES = 0.5  # share of the names, which parts of one table have in common


class NumberedRow(NamedTuple):
    """A row that is not empty, its first line, from 1, and the line after it."""

    line: int
    end: int
    fields: Sequence[str]


@dataclass(frozen=True)
class StackedTable:
    """A table from the line of its names to the line after its last row, from 1.

    `index` is the number of tables above it.
    """

    index: int
    line: int
    end: int
    rows: int
    names: tuple[str, ...]


def find_stacked_tables(rows: Sequence[NumberedRow]) -> list[StackedTable]:
    """Return the tables in their order; none if there are fewer than two."""
    if len(rows) > MAX_ROWS:
        return []
    gaps = [i for i, (above, below) in enumerate(pairwise(rows), 1) if below.line > above.end]
    blocks = [rows[a:b] for a, b in pairwise([0, *gaps, len(rows)])]
    starts: list[tuple[int, tuple[str, ...]]] = []
    first = 0
    for block in blocks:
        at = _names_row(block)
        if at is not None:
            names = _names(block[at].fields)
            if not starts or (
                _are_other(names, starts[-1][1])
                and (at > 0 or _are_apart(rows[starts[-1][0] : first], block))
            ):
                starts.append((first + at, names))
        first += len(block)
    if len(starts) < 2:
        return []
    ends = [start for start, _ in starts[1:]] + [len(rows)]
    return [
        StackedTable(index, rows[start].line, rows[end - 1].end, end - start - 1, names)
        for index, ((start, names), end) in enumerate(zip(starts, ends, strict=True))
    ]


def _names_row(block: Sequence[NumberedRow]) -> int | None:
    """Return the index of the row of names above numbers or dates, below at most one title."""
    for at, row in enumerate(block[:2]):
        body = [each.fields for each in block[at + 1 :]]
        if len(_names(row.fields)) > 1:
            return at if len(body) >= MIN_ROWS and _are_names(row.fields, body) else None
    return None


def _are_names(row: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Return True if different names are above the values, and one is above numbers or dates."""
    names = _names(row)
    if len(set(names)) < len(names) or any(map(is_value, names)) or not has_names(row, body):
        return False
    columns = [column_of(body, i) for i, field in enumerate(row) if field.strip()]
    return any(
        column and sum(map(is_value, column)) >= SAME_KIND * len(column) for column in columns
    )


def _are_apart(above: Sequence[NumberedRow], below: Sequence[NumberedRow]) -> bool:
    """Return True if the columns differ, or the categories of those that do not.

    Then the first row below may not have one of the texts, nor a code such as A17 above codes.
    It has the letter case of the names above, which no category has.
    """
    if not _have_same_columns(above, below):
        return True
    bodies = [[row.fields for row in block[1:]] for block in (above, below)]
    has_others = False
    for i, (name, kind) in enumerate(zip(below[0].fields, _kinds(below), strict=False)):
        columns = [column_of(body, i) for body in bodies]
        texts = {text for column in columns for text in column}
        if not name.strip() or name.strip() in texts or _is_code_of(name.strip(), texts):
            return False
        case = _letter_case(name.strip())
        if case not in map(_letter_case, column_of([above[0].fields], i)):
            return False
        is_repeated = all(len(set(column)) <= MAX_DIFFERENT * len(column) for column in columns)
        if kind == "text" and is_repeated:
            has_others = True
            if set(columns[0]) & set(columns[1]):
                return False
            if case in map(_letter_case, texts):
                return False
    return has_others


def _letter_case(text: str) -> tuple[bool, bool]:
    """Return whether a text begins with a capital, and whether all others are capitals."""
    return text[:1].isupper(), text[1:].isupper()


def _is_code_of(name: str, texts: Collection[str]) -> bool:
    """Return True for a text with a digit, if others have one, too."""
    return any(map(str.isdigit, name)) and any(
        character.isdigit() for text in texts if not is_value(text) for character in text
    )


def _have_same_columns(above: Sequence[NumberedRow], below: Sequence[NumberedRow]) -> bool:
    """Return True if both have columns up to the same last one, of the same kinds.

    The first rows, which may be names, have no kind. A column without values has any kind.
    """
    kinds_above, kinds_below = _kinds(above), _kinds(below)
    return len(kinds_above) == len(kinds_below) and all(
        kind == other or "empty" in {kind, other}
        for kind, other in zip(kinds_above, kinds_below, strict=True)
    )


def _kinds(rows: Sequence[NumberedRow]) -> list[str]:
    """Return what most values of each column are below the first row: numbers, dates or texts."""
    body = [row.fields for row in rows]
    width = max(i for fields in body for i, field in enumerate(fields, 1) if field.strip())
    return [_kind(column_of(body[1:], i)) for i in range(width)]


def _kind(column: Sequence[str]) -> str:
    kinds = Counter(kind_of(value) if is_value(value) else "text" for value in column)
    return max(kinds, key=kinds.__getitem__, default="empty")


def _names(row: Sequence[str]) -> tuple[str, ...]:
    return tuple(field.strip() for field in row if field.strip())


def _are_other(names: Sequence[str], above: Sequence[str]) -> bool:
    return len(set(names) & set(above)) < MAX_SAME_NAMES * len(names)


def choose_table(rows: Sequence[NumberedRow], *, first: bool) -> tuple[StackedTable, Issue] | None:
    """Return the table to read and the issue that names the others; None if there is only one.

    It is the one with the most rows, or the first one.
    """
    tables = find_stacked_tables(rows)
    if not tables:
        return None
    chosen = tables[0] if first else max(tables, key=lambda table: table.rows)
    others = [table for table in tables if table is not chosen]
    examples = tuple(
        f"line {table.line}: {printable(' '.join(table.names))}" for table in others[:MAX_EXAMPLES]
    )
    hint = (
        f"There are several tables below each other. Only the one in line {chosen.line} was read. "
        "To read another one, set `read.skip_lines` to the number of lines above its names."
    )
    return chosen, Issue("stacked_tables", "warning", len(others), examples, hint)
