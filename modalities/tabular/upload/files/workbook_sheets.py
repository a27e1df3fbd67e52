"""Sheets of a workbook, and which of them is read."""

from typing import Any

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
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.tabular.upload.raw_table import MAX_EXAMPLES, table_error

MUCH_LARGER = 4  # times the cells of the first sheet, of one that is read instead


def load_workbook(stream: Any, name: str) -> CalamineWorkbook:
    """Return the workbook in a binary file; raise DatasetUnreadable if it cannot be read."""
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


def choose_sheet(
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
    filled = filled_sheets(workbook, name)
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


def filled_sheets(workbook: CalamineWorkbook, name: str) -> list[CalamineSheet]:
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


def check_size(sheet: CalamineSheet, limits: Limits) -> None:
    """Raise DatasetUnreadable if the sheet has too many columns or cells."""
    if sheet.width > limits.columns_max:
        message = f"The sheet has {sheet.width:,} columns; the limit is {limits.columns_max:,}."
        raise table_error("too_many_columns", message)
    if _cells(sheet) > limits.cells_max:
        message = f"The sheet has more than {limits.cells_max:,} cells, the limit."
        raise table_error("table_too_large", message)


def _cells(sheet: CalamineSheet) -> int:
    return int(sheet.width * sheet.height)


def _unreadable(name: str, message: str) -> DatasetUnreadable:
    return unreadable_error("table_unreadable", message, pointer=file_pointer(name))
