"""Reader of workbooks of spreadsheet programs: .xlsx, .xlsb, .xls and .ods."""

import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pyarrow as pa
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from core.datasets.data_quality import Issue
from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.tabular.schema import Column
from modalities.tabular.upload.csv_dialect import SAMPLE_ROWS
from modalities.tabular.upload.header_names import has_names
from modalities.tabular.upload.python_values import ColumnTypes, build_batches, to_text
from modalities.tabular.upload.raw_table import (
    MAX_EXAMPLES,
    RawTable,
    normalize_names,
    table_error,
)
from modalities.tabular.upload.read_options import ReadOptions
from modalities.tabular.upload.side_tables import (
    are_divided,
    find_side_tables,
    side_tables_issue,
)
from modalities.tabular.upload.stacked_tables import MAX_ROWS, NumberedRow, choose_table
from modalities.tabular.upload.stray_rows import StrayRows
from modalities.tabular.upload.table_layout import (
    TableLayout,
    detect_layout,
    layout_with_header,
)
from modalities.tabular.upload.transposed_rows import are_transposed, transpose, transposed_issue

Row = list[Any]

MUCH_LARGER = 4  # times the cells of the first sheet, of one that is read instead
MAX_SHEETS = 20
_EXACT_INTEGERS = 2**53


def open_workbook(
    file: SourceFile, limits: Limits, options: ReadOptions, error_cells: int
) -> RawTable:
    """Open one sheet. `error_cells` is the number of cells with an error such as #N/A."""
    issues: list[Issue] = []
    notes: list[str] = []
    with file.path.open("rb") as stream:
        workbook = _open(stream, file.name)
        sheet = _choose_sheet(workbook, file.name, options.sheet, issues)
    _check_size(sheet, limits)
    rows = _Rows(sheet)
    _select_columns(rows, sheet, issues)
    options = _select_rows(rows, sheet, options, issues)
    sample = rows.sample()
    is_transposed = options.transpose or (
        options.transpose is None and len(sample) < SAMPLE_ROWS and are_transposed(_texts(sample))
    )
    if is_transposed:
        rows.transpose()
        sample = rows.sample()
        if options.transpose is None:
            issues.append(transposed_issue(sheet.height))
    if not sample:
        raise table_error("table_empty", f"The sheet {printable(sheet.name)} is empty.")
    layout = _layout(sample, options, sheet)
    lines = [number for number, _ in sample]
    names = normalize_names(layout.names, limits, issues)
    _report_titles(sample, layout, issues)
    start = lines[layout.first] if layout.first < len(lines) else lines[-1] + 1
    types = [ColumnTypes() for _ in names]
    rows.first_value_row = start
    for _, row in rows.from_line(start):
        for value, column in zip(row, types, strict=True):
            column.add(value)
    schema = pa.schema([(n, column.arrow_type()) for n, column in zip(names, types, strict=True)])
    if error_cells:
        hint = "Cells with an error such as #N/A are missing values."
        issues.append(Issue("error_cells", "warning", error_cells, (), hint))
    if rows.filled:
        hint = "Each row of merged cells has their value."
        issues.append(Issue("merged_cells", "info", rows.filled, (), hint))
    header = None if layout.header is None else lines[layout.header]
    stray = StrayRows(layout.names if header is not None else ())

    def batches() -> Iterator[pa.RecordBatch]:
        yield from stray.remove(build_batches((row for _, row in rows.from_line(start)), schema))
        issues.extend(stray.issues)
        if rows.stripped:
            notes.append(f"Blanks around {rows.stripped:,} cells were stripped.")

    return RawTable(
        "workbook",
        schema,
        batches(),
        untyped=frozenset(f.name for f in schema if f.type == pa.string()),
        type_hints=_hints(names, types),
        unnamed=frozenset(
            name
            for name, raw in zip(names, layout.names, strict=True)
            if layout.header is not None and not raw.strip()
        ),
        decimal_comma=options.decimal_comma(default=False),
        notes=notes,
        issues=issues,
        stripped=rows.stripped_texts,
        read={
            "sheet": sheet.name,
            "header": header or False,
            "skip_lines": (header or start) - 1,
            "decimal": options.decimal,
            "thousands": options.thousands,
            "transpose": bool(is_transposed),
        },
    )


def _select_columns(rows: "_Rows", sheet: CalamineSheet, issues: list[Issue]) -> None:
    """Leave out the tables next to the longest one."""
    # Most sheets have one table, which the first rows show: it is not read twice.
    tables = find_side_tables(rows) if are_divided(rows.sample()) else None
    if tables is not None:
        table, others = tables
        rows.select(table.start, table.end)
        left = (sheet.start or (0, 0))[1]
        issues.append(side_tables_issue(table.shifted(left), [b.shifted(left) for b in others]))


def _select_rows(
    rows: "_Rows", sheet: CalamineSheet, options: ReadOptions, issues: list[Issue]
) -> ReadOptions:
    """Leave out the tables below and above the longest one; return where it begins."""
    if options.header is not None or sheet.height > MAX_ROWS:
        return options
    below = [row for row in rows if row[0] > (options.skip_lines or 0)]
    numbered = [
        NumberedRow(number, number + 1, fields)
        for (number, _), fields in zip(below, _texts(below), strict=True)
    ]
    chosen = choose_table(numbered, first=options.skip_lines is not None)
    if chosen is None:
        return options
    table, issue = chosen
    issues.append(issue)
    rows.last = table.end - 1
    return replace(options, skip_lines=table.line - 1) if table.index else options


def open_sheets(file: SourceFile, limits: Limits) -> Iterator[tuple[str, RawTable]]:
    """Open the visible sheets that are not empty, at most MAX_SHEETS, with their names."""
    with file.path.open("rb") as stream:
        sheets = _filled_sheets(_open(stream, file.name), file.name)
        names = [sheet.name for sheet in sheets[:MAX_SHEETS]]
    for name in names:
        yield name, open_workbook(file, limits, ReadOptions(sheet=name), 0)


class _Rows:
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
        self.stripped = 0  # cells with blanks around their text, in the last iteration
        self.stripped_texts = Counter[str]()
        self.filled = 0  # merged cells with the value of the first one, in the last iteration

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        if self._columns is not None:
            yield from enumerate(map(list, self._columns), start=1)
            return
        self.stripped = self.filled = 0
        self.stripped_texts.clear()
        values: Row = []  # of the first cells of merged ones, by column
        for number, cells in enumerate(islice(self._sheet.iter_rows(), self.last), start=1):
            row = [self._strip(value) if type(value) is str else value for value in cells]
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

    def _strip(self, text: str) -> str:
        stripped = text.strip(" ")
        if len(stripped) < len(text):
            self.stripped += 1
            self.stripped_texts[stripped] += 1
        return stripped

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


def _open(stream: Any, name: str) -> CalamineWorkbook:
    try:
        return CalamineWorkbook.from_filelike(stream)
    except PasswordError as error:
        message = f"{printable(name)} is encrypted; save it without a password."
        raise _unreadable(name, message) from error
    except (CalamineError, OSError, ValueError) as error:
        message = (
            f"{printable(name)} looks like a workbook but cannot be read. Save it again as .xlsx, "
            "or save the sheet as CSV."
        )
        raise _unreadable(name, message) from error


def _choose_sheet(
    workbook: CalamineWorkbook, name: str, choice: str | int | None, issues: list[Issue]
) -> CalamineSheet:
    """Return the sheet that the client states, or the first visible one that is not empty.

    A sheet that is much larger than the first one has the table of which that is a summary.
    """
    titles = [
        sheet.name for sheet in workbook.sheets_metadata if sheet.typ is SheetTypeEnum.WorkSheet
    ]
    if choice is not None:
        by_number = isinstance(choice, int) and 1 <= choice <= len(titles)
        title = titles[choice - 1] if isinstance(choice, int) and by_number else choice
        if title not in titles:
            listed = ", ".join(printable(title) for title in titles[:10])
            message = f"`read.sheet` does not name a sheet of {printable(name)}: {listed}."
            raise table_error("sheet_unknown", message)
        return _load(workbook, str(title), name)
    filled = _filled_sheets(workbook, name)
    if not filled:
        raise table_error("table_empty", f"{printable(name)} has no visible sheet with values.")
    chosen, largest = filled[0], max(filled, key=_cells)
    if _cells(largest) >= MUCH_LARGER * _cells(chosen):
        chosen = largest
    if others := [sheet.name for sheet in filled if sheet is not chosen]:
        hint = f"Only the sheet {printable(chosen.name)} was read; set `read.sheet` for another."
        examples = tuple(printable(title) for title in others[:MAX_EXAMPLES])
        issues.append(Issue("sheets_ignored", "warning", len(others), examples, hint))
    return chosen


def _cells(sheet: CalamineSheet) -> int:
    return int(sheet.width * sheet.height)


def _filled_sheets(workbook: CalamineWorkbook, name: str) -> list[CalamineSheet]:
    """Return the visible sheets that are not empty."""
    titles = [
        sheet.name
        for sheet in workbook.sheets_metadata
        if sheet.typ is SheetTypeEnum.WorkSheet and sheet.visible is SheetVisibleEnum.Visible
    ]
    sheets = [_load(workbook, title, name) for title in titles]
    return [sheet for sheet in sheets if sheet.start is not None]


def _load(workbook: CalamineWorkbook, title: str, name: str) -> CalamineSheet:
    try:
        return workbook.get_sheet_by_name(title)
    except (CalamineError, OSError, ValueError) as error:
        message = f"The sheet {printable(title)} of {printable(name)} is damaged; save it again."
        raise _unreadable(name, message) from error


def _layout(
    sample: Sequence[tuple[int, Row]], options: ReadOptions, sheet: CalamineSheet
) -> TableLayout:
    texts = _texts(sample)
    skip = options.skip_lines
    if options.header is None and skip is None:
        return detect_layout(texts)
    first = next((i for i, (number, _) in enumerate(sample) if number > (skip or 0)), 0)
    if options.header is None:
        header = first if has_names(texts[first], texts[first + 1 :]) else None
    elif options.header is False:
        header = None
    elif options.header is True:
        detected = detect_layout(texts[first:])
        header = first if skip is not None or detected.header is None else detected.header + first
    else:
        header = next((i for i, (number, _) in enumerate(sample) if number == options.header), -1)
        if header < 0:
            message = f"Row {options.header:,} of the sheet {printable(sheet.name)} is empty."
            raise table_error("header_invalid", message)
    if header is None:
        return TableLayout(("",) * len(texts[0]), None, first)
    return layout_with_header(texts, header)


def _texts(sample: Sequence[tuple[int, Row]]) -> list[list[str]]:
    return [["" if value == "" else to_text(value) for value in row] for _, row in sample]


def _report_titles(sample: list[tuple[int, Row]], layout: TableLayout, issues: list[Issue]) -> None:
    issues += layout.issues()
    titles = [sample[i] for i in layout.title_rows]
    if not titles:
        return
    examples = []
    for number, row in titles[:MAX_EXAMPLES]:
        text = " ".join(to_text(value) for value in row if value != "")
        examples.append(f"row {number}: {printable(text)}")
    hint = (
        "These rows above the values were left out. Set `read.skip_lines` or `read.header` if the "
        "table begins elsewhere."
    )
    issues.append(Issue("title_lines", "info", len(titles), tuple(examples), hint))


def _hints(names: list[str], types: list[ColumnTypes]) -> dict[str, Column]:
    dates = {datetime.datetime, datetime.date}
    return {
        name: Column(
            name, "datetime", format="%Y-%m-%d %H:%M:%S" if column.has_times else "%Y-%m-%d"
        )
        for name, column in zip(names, types, strict=True)
        if column.types and column.types <= dates
    }


def _check_size(sheet: CalamineSheet, limits: Limits) -> None:
    if sheet.width > limits.columns_max:
        message = f"The sheet has {sheet.width:,} columns; the limit is {limits.columns_max:,}."
        raise table_error("too_many_columns", message)
    if _cells(sheet) > limits.cells_max:
        message = f"The sheet has more than {limits.cells_max:,} cells, the limit."
        raise table_error("table_too_large", message)


def _unreadable(name: str, message: str) -> DatasetUnreadable:
    return unreadable_error("table_unreadable", message, pointer=file_pointer(name))
