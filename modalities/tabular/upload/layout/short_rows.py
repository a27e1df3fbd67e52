"""Recognition of rows that end with their last value.

Some programs leave out the empty fields at the end of a row, so that rows have fewer fields than
there are names.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from modalities.tabular.upload.layout.header_names import has_names
from modalities.tabular.upload.types.value_kinds import is_value, kind_of

MIN_SHORT_ROWS, MIN_SHORT = 3, 0.05  # number and share of the short rows
MIN_WIDTH = 3  # names
MIN_SAME_KIND = 0.9  # share of the values of a column that are numbers, or dates

Row = Sequence[str]


def header_above_short_rows(rows: Sequence[Row]) -> int | None:
    """Return the index of the names if rows below lack empty fields at their end; None otherwise.

    A row that lacks a delimiter between its values is short, too. So no row may end with an empty
    field, and the values of short rows must be of the kinds of the other rows.
    """
    width = max(map(len, rows), default=0)
    header = next((i for i, row in enumerate(rows) if len(row) == width), 0)
    names, body = [name.strip() for name in rows[header]], list(rows[header + 1 :])
    while body and not may_be_padded(body[-1], width):  # notes below the table
        body.pop()
    short = [row for row in body if len(row) < width]
    if width < MIN_WIDTH or len(short) < max(MIN_SHORT_ROWS, MIN_SHORT * len(body)):
        return None
    are_names = all(names) and len(set(names)) == width and not any(map(is_value, names))
    end_with_values = all(row[-1].strip() for row in body)
    are_padded = all(may_be_padded(row, width) for row in short)
    if not (are_names and end_with_values and are_padded) or not _are_mixed(body):
        return None
    padded = [pad(row, width) for row in body]
    return header if has_names(names, padded) and _have_same_kinds(body, width) else None


def may_be_padded(row: Row, width: int) -> bool:
    """Return True for a row that has at least half of the fields; others may be notes."""
    return 2 * len(row) >= width


def pad(row: Row, width: int) -> list[str]:
    """Return the fields of a row, and empty ones at its end."""
    return [*row, *[""] * (width - len(row))]


def _are_mixed(body: Sequence[Row]) -> bool:
    """Return True if short rows are among longer ones; a block of them is another table."""
    return sum(len(a) < len(b) for a, b in pairwise(body)) >= MIN_SHORT_ROWS


def _have_same_kinds(body: Sequence[Row], width: int) -> bool:
    """Return True if numbers and dates of the longest rows are such in the other rows, too."""
    longest = max(map(len, body))
    for i in range(width):
        kinds = [
            Counter(kind_of(row[i]) for row in rows if i < len(row) and row[i].strip())
            for rows in (
                [row for row in body if len(row) == longest],
                [row for row in body if len(row) < longest],
            )
        ]
        for kind in ("number", "date"):
            shares = [counts[kind] / max(1, counts.total()) for counts in kinds]
            if shares[0] >= MIN_SAME_KIND > shares[1] and kinds[1]:
                return False
    return True
