"""Reader of workbooks of spreadsheet programs: .xlsx, .xlsb, .xls and .ods."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
from python_calamine import CalamineSheet

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from core.datasets.source import SourceFile
from core.limits import Limits
from modalities.tabular.schema import Column
from modalities.tabular.upload.files.csv_dialect import SAMPLE_ROWS
from modalities.tabular.upload.files.python_values import ColumnTypes, build_batches, to_text
from modalities.tabular.upload.files.workbook_rows import Row, SheetRows
from modalities.tabular.upload.files.workbook_sheets import (
    check_size,
    choose_sheet,
    filled_sheets,
    load_workbook,
)
from modalities.tabular.upload.layout.header_names import has_names
from modalities.tabular.upload.layout.side_tables import (
    are_divided,
    find_side_tables,
    side_tables_issue,
)
from modalities.tabular.upload.layout.stacked_tables import MAX_ROWS, NumberedRow, choose_table
from modalities.tabular.upload.layout.stray_rows import StrayRows
from modalities.tabular.upload.layout.table_layout import (
    TableLayout,
    detect_layout,
    layout_with_header,
)
from modalities.tabular.upload.layout.transposed_rows import are_transposed, transposed_issue
from modalities.tabular.upload.raw_table import (
    MAX_EXAMPLES,
    RawTable,
    normalize_names,
    stripped_issue,
    stripped_names_issue,
    table_error,
)
from modalities.tabular.upload.read_options import ReadOptions

MAX_SHEETS = 20


def open_workbook(
    file: SourceFile, limits: Limits, options: ReadOptions, error_cells: int
) -> RawTable:
    """Open one sheet. `error_cells` is the number of cells with an error such as #N/A."""
    issues: list[Issue] = []
    notes: list[str] = []
    with file.path.open("rb") as stream:
        workbook = load_workbook(stream, file.name)
        sheet = choose_sheet(workbook, file.name, options.sheet, issues)
    check_size(sheet, limits)
    rows = SheetRows(sheet)
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
        issues.extend(_blanks_issues(rows, header, () if is_transposed else names))

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


def _blanks_issues(rows: SheetRows, header: int | None, names: Sequence[str]) -> list[Issue]:
    padded = [] if header is None else rows.stripped_above.get(header, [])
    issues = [stripped_names_issue([names[i] for i in padded])] if padded and names else []
    return [*issues, stripped_issue(rows.stripped, names)] if rows.stripped else issues


def _select_columns(rows: SheetRows, sheet: CalamineSheet, issues: list[Issue]) -> None:
    """Leave out the tables next to the longest one."""
    # Most sheets have one table, which the first rows show: it is not read twice.
    tables = find_side_tables(rows) if are_divided(rows.sample()) else None
    if tables is not None:
        table, others = tables
        rows.select(table.start, table.end)
        left = (sheet.start or (0, 0))[1]
        issues.append(side_tables_issue(table.shifted(left), [b.shifted(left) for b in others]))


def _select_rows(
    rows: SheetRows, sheet: CalamineSheet, options: ReadOptions, issues: list[Issue]
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
        sheets = filled_sheets(load_workbook(stream, file.name), file.name)
        names = [sheet.name for sheet in sheets[:MAX_SHEETS]]
    for name in names:
        yield name, open_workbook(file, limits, ReadOptions(sheet=name), 0)


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
