"""Tables side by side in one sheet, of which the longest one is read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Self

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from modalities.tabular.upload.files.python_values import to_text
from modalities.tabular.upload.raw_table import MAX_EXAMPLES

MAX_SHORTER = 0.6  # share of the rows of the longest table that another one may reach
MIN_SAME_NAMES = 2  # in the first rows of two tables of the same columns

Row = Sequence[object]


@dataclass(frozen=True)
class Block:
    """Columns between empty ones: the index of the first, and of the one after the last.

    `last` is the number of the last row with a value, `names` are the values of the first one.
    """

    start: int
    end: int
    last: int
    names: tuple[str, ...]

    def shifted(self, columns: int) -> Self:
        return replace(self, start=self.start + columns, end=self.end + columns)


def are_divided(rows: Iterable[tuple[int, Row]]) -> bool:
    """Return True if an empty column divides the rows, as one between two tables does."""
    filled = {column for _, row in rows for column, value in enumerate(row) if value != ""}
    return len(_runs(sorted(filled))) > 1


def find_side_tables(rows: Iterable[tuple[int, Row]]) -> tuple[Block, list[Block]] | None:
    """Return the longest table and those next to it; None if there is only one table.

    Columns that are separated by an empty one, but reach as far down, belong to the same table.
    """
    last: dict[int, int] = {}
    first: dict[int, tuple[int, str]] = {}
    for number, row in rows:
        for column, value in enumerate(row):
            if value != "":
                last[column] = number
                first.setdefault(column, (number, to_text(value)))
    blocks = [_block(columns, first, last) for columns in _runs(sorted(last))]
    if len(blocks) < 2:
        return None
    longest = max(blocks, key=lambda block: block.last)
    others = [block for block in blocks if block is not longest and _is_other(block, longest)]
    kept = [block for block in blocks if block not in others]
    if not others:
        return None
    if kept[0].start < others[0].start < kept[-1].start:
        return None  # one in the middle is a part of the table
    names = tuple(name for block in kept for name in block.names)
    return Block(kept[0].start, kept[-1].end, longest.last, names), others


def _runs(columns: Sequence[int]) -> list[list[int]]:
    """Return the columns in runs without a gap."""
    pairs = groupby(enumerate(columns), key=lambda pair: pair[1] - pair[0])
    return [[column for _, column in run] for _, run in pairs]


def _block(
    columns: Sequence[int], first: dict[int, tuple[int, str]], last: dict[int, int]
) -> Block:
    top = min(first[column][0] for column in columns)
    names = tuple(first[column][1] for column in columns if first[column][0] == top)
    end = max(last[column] for column in columns)
    return Block(columns[0], columns[-1] + 1, end, names)


def _is_other(block: Block, longest: Block) -> bool:
    is_same = block.names == longest.names and len(block.names) >= MIN_SAME_NAMES
    return is_same or block.last <= MAX_SHORTER * longest.last


def side_tables_issue(table: Block, others: Sequence[Block]) -> Issue:
    examples = tuple(
        f"columns {_letters(block.start)} to {_letters(block.end - 1)}: "
        f"{printable(' '.join(block.names))}"
        for block in others[:MAX_EXAMPLES]
    )
    hint = (
        f"The sheet has several tables side by side. Only the columns {_letters(table.start)} to "
        f"{_letters(table.end - 1)} were read. To read another one, move it to another sheet."
    )
    return Issue("side_tables", "warning", len(others), examples, hint)


def _letters(column: int) -> str:
    """Return the name of a column in spreadsheets: A, B, …, Z, AA."""
    letters = ""
    column += 1
    while column:
        column, digit = divmod(column - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters
