"""Tables of which the rows are the columns: names in the first column, one record per column."""

import csv
import io
from collections.abc import Sequence
from itertools import zip_longest
from typing import TypeVar

from core.datasets.data_quality import Issue
from core.errors import DatasetUnreadable
from modalities.tabular.upload.raw_table import table_error
from modalities.tabular.upload.types.value_kinds import is_value, kind_of

MAX_ROWS = 200  # that become columns
_MIN_RECORDS, _MIN_VARIABLES = 5, 5
_SAME_KIND = 0.9  # share of the values of a row, and of the rows
_MIN_ROWS_OF_KIND = 2

Cell = TypeVar("Cell")


def are_transposed(rows: Sequence[Sequence[str]]) -> bool:
    """Return True if each row has values of one kind, and its columns have different kinds.

    Rows of texts above all numbers are names, so that some texts must be below numbers.
    """
    width = max(map(len, rows), default=0)
    if width <= _MIN_RECORDS or not _MIN_VARIABLES <= len(rows) <= MAX_ROWS:
        return False
    body = [row for row in rows if sum(bool(field.strip()) for field in row) > 1]
    names = [row[0].strip() for row in body[1:]]
    if not all(names) or len(set(names)) < len(names) or any(map(is_value, names)):
        return False
    kinds = [_kind_of_row(row) for row in body]
    below = kinds[kinds.index("number") :] if "number" in kinds else []
    same = sum(kind != "mixed" for kind in kinds)
    others = sum(kind not in ("mixed", "number") for kind in below)
    enough = min(others, kinds.count("number")) >= _MIN_ROWS_OF_KIND
    return enough and same >= _SAME_KIND * len(kinds)


def _kind_of_row(row: Sequence[str]) -> str:
    kinds = [kind_of(field) for field in row[1:] if field.strip()]
    if len(kinds) < _MIN_RECORDS:
        return "mixed"
    groups = ["text" if kind in ("word", "text") else kind for kind in kinds]
    kind = max(set(groups), key=groups.count)
    return kind if groups.count(kind) >= _SAME_KIND * len(groups) else "mixed"


def transpose(rows: Sequence[Sequence[Cell]], empty: Cell) -> list[list[Cell]]:
    """Return the columns of the rows.

    Raises:
        DatasetUnreadable: There are too many rows.
    """
    if len(rows) > MAX_ROWS:
        raise too_many_rows()
    return [list(column) for column in zip_longest(*rows, fillvalue=empty)]


def too_many_rows() -> DatasetUnreadable:
    message = (
        f"`read.transpose` makes a column of each row; a table of more than {MAX_ROWS} rows cannot "
        "be transposed."
    )
    return table_error("too_many_columns", message)


def to_csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def transposed_issue(count: int) -> Issue:
    hint = (
        "The rows of the file were read as columns, because each has values of one kind. Set "
        "`read.transpose` to false if they are rows."
    )
    return Issue("transposed", "warning", count, (), hint)
