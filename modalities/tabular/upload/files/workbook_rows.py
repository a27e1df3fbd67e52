"""Rows of a sheet of a workbook, with the values of merged cells."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from python_calamine import CalamineSheet

from modalities.tabular.upload.files.csv_dialect import SAMPLE_ROWS
from modalities.tabular.upload.files.csv_text import NO_BREAK_SPACE
from modalities.tabular.upload.layout.transposed_rows import transpose

Row = list[Any]

OUTER_BLANKS = f" {NO_BREAK_SPACE}"
_EXACT_INTEGERS = 2**53


class SheetRows:
    """Rows of a sheet that are not blank, with their numbers in the sheet, from 1.

    From `first_value_row` on, each row of cells that are merged downwards has their value.
    """

    def __init__(self, sheet: CalamineSheet) -> None:
        self._sheet = sheet
        self._columns: list[Row] | None = None  # the rows, if rows and columns are exchanged
        self._merged = _merged_downwards(sheet)
        self._selected = slice(None)  # columns
        self.last: int | None = None  # number of the last row
        self.first_value_row: int | None = None
        # Values with blanks around their text by column, and their texts, in the last iteration.
        self.stripped = Counter[int]()
        self.stripped_texts = Counter[str]()
        self.stripped_above: dict[int, list[int]] = {}  # the same of the rows above the values
        self.filled = 0  # merged cells with the value of the first one, in the last iteration

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        if self._columns is not None:
            yield from enumerate(map(list, self._columns), start=1)
            return
        self.filled = 0
        self.stripped.clear()
        self.stripped_texts.clear()
        values: Row = []  # of the first cells of merged ones, by column
        for number, cells in enumerate(islice(self._sheet.iter_rows(), self.last), start=1):
            row = [value.strip(OUTER_BLANKS) if type(value) is str else value for value in cells]
            self._count_stripped(number, cells[self._selected], row[self._selected])
            is_blank = all(value == "" for value in row[self._selected])
            if self._merged and not is_blank:
                values = self._fill(number, row, values)
            if not is_blank:
                yield number, [_to_integer(value) for value in row[self._selected]]

    def select(self, start: int, end: int) -> None:
        """Leave out the columns before `start` and from `end` on."""
        self._selected = slice(start, end)

    def transpose(self) -> None:
        """Exchange rows and columns; those that are blank are left out."""
        self._columns = [
            row for row in transpose([row for _, row in self], "") if any(map(str, row))
        ]

    def _fill(self, number: int, row: Row, above: Row) -> Row:
        """Write the values above into the merged cells of a row; return those of the row."""
        if self.first_value_row is not None and number > self.first_value_row:
            for column in self._merged.get(number, ()):
                if row[column] == "" and above and above[column] != "":
                    row[column] = above[column]
                    self.filled += 1
        return row

    def _count_stripped(self, number: int, cells: Row, row: Row) -> None:
        columns = [
            i
            for i, (cell, value) in enumerate(zip(cells, row, strict=True))
            if type(cell) is str and len(cell) > len(value)
        ]
        if columns and self.first_value_row is not None and number < self.first_value_row:
            self.stripped_above[number] = columns
        else:
            self.stripped.update(columns)
            self.stripped_texts.update(row[i] for i in columns)

    def sample(self) -> list[tuple[int, Row]]:
        return [row for _, row in zip(range(SAMPLE_ROWS), self, strict=False)]

    def from_line(self, line: int) -> Iterator[tuple[int, Row]]:
        return ((number, row) for number, row in self if number >= line)


def _merged_downwards(sheet: CalamineSheet) -> dict[int, list[int]]:
    """Return the columns in which a cell continues the one above it, by the number of the row."""
    _, left = sheet.start or (0, 0)
    columns: dict[int, list[int]] = {}
    for (first_row, first), (last_row, last) in sheet.merged_cell_ranges or ():
        if first == last:
            for row in range(first_row + 1, last_row + 1):
                columns.setdefault(row + 1, []).append(first - left)
    return columns


def _to_integer(value: Any) -> Any:
    """Return whole numbers as integers; workbooks store all numbers as floats."""
    is_whole = type(value) is float and value.is_integer() and abs(value) < _EXACT_INTEGERS
    return int(value) if is_whole else value
