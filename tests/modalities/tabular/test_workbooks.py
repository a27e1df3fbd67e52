"""Reading of workbooks of spreadsheet programs."""

import datetime

import pytest

from modalities.tabular.upload.read_options import ReadOptions
from tests.modalities.tabular.conftest import Read, Reject
from tests.modalities.tabular.factories import build_workbook, build_zip

PEOPLE = [["age", "city"], *[[20 + i % 7, "ab"[i % 2]] for i in range(9)]]


def test_cells_keep_their_types(read: Read) -> None:
    day, time = datetime.date(2024, 3, 1), datetime.datetime.fromisoformat("2024-03-01T08:30")
    rows = [[i % 4, i + 0.5, day, time, i % 2 == 0, "ab"[i % 2], None] for i in range(9)]
    names = ["int", "float", "day", "time", "bool", "text", "empty"]
    table = read(build_workbook({"A": [names, *rows]}), "a.xlsx")
    assert table.summary.format == "workbook"
    assert list(table.types.values()) == [
        "integer",
        "number",
        "datetime",
        "datetime",
        "boolean",
        "category",
        "category",
    ]
    assert table.values("int")[:5] == [0, 1, 2, 3, 0]
    assert table.preview("day")[0] == "2024-03-01"
    assert table.preview("time")[0] == "2024-03-01 08:30:00"


def test_numbers_among_texts_and_texts_of_numbers_are_read_like_csv(read: Read) -> None:
    rows = [[i if i % 3 else "n/a", f"{i},5"] for i in range(1, 13)]
    table = read(build_workbook({"A": [["a", "b"], *rows]}), "a.xlsx")
    assert table.types["a"] == "integer"
    assert table.values("a")[:3] == [1, 2, None]


def test_titles_and_empty_rows_and_columns_around_the_table_are_left_out(read: Read) -> None:
    above = [["Report 2024"], [], [None, None]]
    rows = [[None, *row] for row in PEOPLE]
    table = read(build_workbook({"A": [*above, *rows, [], [None, None]]}), "a.xlsx")
    assert (list(table.types), table.summary.rows) == (["age", "city"], 9)
    assert table.summary.read["header"] == 4
    assert table.issue("title_lines") is not None


def test_merged_names_totals_and_sources_of_reports_are_understood(read: Read) -> None:
    rows = [["ABC"[i % 3], i, i + 1, i / 2] for i in range(12)]
    above = [["Report"], [None, "Sales", None, "Profit"], ["Region", 2023, 2024, 2024]]
    below = [["Total", 66, 78, 33], [], ["Source: Office"]]
    table = read(build_workbook({"A": [*above, *rows, *below]}), "a.xlsx")
    assert list(table.types) == ["Region", "Sales 2023", "Sales 2024", "Profit 2024"]
    assert (table.summary.rows, table.types["Region"]) == (12, "category")
    assert {"header_rows", "total_rows", "footer_lines"} <= {i.code for i in table.summary.issues}


def test_each_row_of_cells_that_are_merged_downwards_has_their_value(read: Read) -> None:
    months = ["May", *[None] * 5, "June", *[None] * 5]
    rows = [[None, month, i, i / 4] for i, month in enumerate(months)]
    data = build_workbook(
        {"A": [[], [None, "month", "day", "x"], *rows]}, merged=["B3:B8", "B9:B14"]
    )
    table = read(data, "a.xlsx")
    assert table.values("month") == ["May"] * 6 + ["June"] * 6
    issue = table.issue("merged_cells")
    assert issue is not None
    assert issue["count"] == 10


def test_rows_of_a_sheet_with_values_of_one_kind_each_are_columns(read: Read) -> None:
    day = datetime.date(2024, 3, 1)
    rows = [
        [None, *[f"s{i}" for i in range(12)]],
        ["price", *[i * 7 % 5 + 0.5 for i in range(12)]],
        ["color", *["red", "blue"] * 6],
        ["day", *[day + datetime.timedelta(i) for i in range(12)]],
        ["weight", *[i * 3 % 7 for i in range(12)]],
    ]
    table = read(build_workbook({"A": rows}), "a.xlsx")
    assert (table.summary.rows, table.types["day"], table.types["price"]) == (
        12,
        "datetime",
        "number",
    )


def test_a_sheet_of_few_words_is_refused_for_its_size(reject: Reject) -> None:
    rows = [["name", "import"], ["Total 1", 5.5], [None, None], ["Total", "x"]]
    assert reject(build_workbook({"A": rows}), "a.xlsx").code == "too_few_rows"


def test_a_sheet_that_is_much_larger_than_the_first_one_is_read(read: Read) -> None:
    small, large = PEOPLE[:7], [["sum", "n"], *[[i, i * i] for i in range(60)]]
    assert list(read(build_workbook({"A": small, "B": large}), "a.xlsx").types) == ["sum", "n"]
    assert list(read(build_workbook({"A": PEOPLE, "B": PEOPLE}), "a.xlsx").types) == PEOPLE[0]


def test_an_empty_column_does_not_hide_a_second_row_of_names(read: Read) -> None:
    rows = [["ABC"[i % 3], "x", i, i / 2, None] for i in range(12)]
    above = [["Class", None, "Years", None, None], ["Type", "Area", 1980, 1981, 1982]]
    table = read(build_workbook({"A": [*above, *rows]}), "a.xlsx")
    assert list(table.types)[2:] == ["Years 1980", "Years 1981", "Years 1982"]
    assert table.summary.rows == 12


def test_years_may_be_names(read: Read) -> None:
    rows = [["country", 2019, 2020], *[[f"C{i}", i % 3, i] for i in range(9)]]
    assert list(read(build_workbook({"A": rows}), "a.xlsx").types) == ["country", "2019", "2020"]


def test_errors_in_cells_are_missing_and_counted(read: Read) -> None:
    table = read(build_workbook({"A": [*PEOPLE, ["#DIV/0!", "a"]]}), "a.xlsx")
    issue = table.issue("error_cells")
    assert issue is not None
    assert (issue["count"], table.values("age")[-1]) == (1, None)


def test_first_visible_sheet_with_values_is_read_and_the_others_are_named(read: Read) -> None:
    sheets = {"Hidden": PEOPLE, "Empty": [], "Data": PEOPLE, "More": PEOPLE}
    table = read(build_workbook(sheets, hidden=["Hidden"]), "a.xlsx")
    issue = table.issue("sheets_ignored")
    assert issue is not None
    assert (table.summary.read["sheet"], issue["examples"]) == ("Data", ["More"])


@pytest.mark.parametrize("sheet", ["B", 2])
def test_sheet_can_be_set_by_name_or_number(sheet: str | int, read: Read) -> None:
    workbook = build_workbook({"A": PEOPLE, "B": [["x"], *[[i] for i in range(9)]]})
    assert list(read(workbook, "a.xlsx", options=ReadOptions(sheet=sheet)).types) == ["x"]


@pytest.mark.parametrize(
    ("options", "names", "rows"),
    [
        (ReadOptions(header=False), ["column_1", "column_2"], 10),
        (ReadOptions(header=True, skip_lines=1), ["20", "a"], 8),
        (ReadOptions(header=1), ["age", "city"], 9),
        (ReadOptions(missing=("21", "b")), ["age", "city"], 9),
    ],
)
def test_reading_options_apply_to_sheets(
    options: ReadOptions, names: list[str], rows: int, read: Read
) -> None:
    table = read(build_workbook({"A": PEOPLE}), "a.xlsx", options=options)
    assert (list(table.types), table.summary.rows) == (names, rows)
    if options.missing:
        assert table.values("age")[:3] == [20, None, 22]
        assert table.values("city")[:2] == ["a", None]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (build_workbook({"A": []}), "table_empty"),
        (build_zip({"xl/workbook.xml": "<x/>", "_rels/.rels": "<x/>"}), "table_unreadable"),
        (build_zip({"word/document.xml": "<x/>"}), "table_unreadable"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2_000, "table_unreadable"),
        (build_workbook({"A": PEOPLE})[:-30], "archive_invalid"),
        (build_zip({"xl/workbook.xml": b" " * 40_000_000}), "archive_bomb"),
    ],
)
def test_unreadable_workbooks_are_rejected(data: bytes, code: str, reject: Reject) -> None:
    assert reject(data, "a.xlsx").code == code


def test_an_unknown_sheet_is_rejected_with_the_names(reject: Reject) -> None:
    workbook = build_workbook({"A": PEOPLE, "B": PEOPLE})
    for sheet in ("C", 3):
        error = reject(workbook, "a.xlsx", options=ReadOptions(sheet=sheet))
        assert (error.code, "A, B" in error.detail) == ("sheet_unknown", True)


def test_blanks_around_cells_are_stripped(read: Read) -> None:
    rows = [["name".ljust(40), "n"], *[[f"{'ab'[i % 2]}".ljust(80), i / 2] for i in range(30)]]
    table = read(build_workbook({"A": [*rows, [" ", None]]}), "a.xlsx")
    assert table.values("name") == ["a", "b"] * 15
    issue, names = table.issue("stripped_blanks"), table.issue("stripped_names")
    assert issue is not None
    assert names is not None
    assert (issue["count"], issue["examples"]) == (31, ["name: 31"])
    assert names["examples"] == ["name"]


def test_a_shorter_table_next_to_the_first_one_is_left_out_and_reported(read: Read) -> None:
    answers = [[f"u{i % 4}", i % 7, None] for i in range(40)]
    counts = [[f"u{i}", 10 * i] for i in range(4)]
    rows = [["school", "hours", None, "school", "count"]]
    rows += [row + (counts[i] if i < len(counts) else []) for i, row in enumerate(answers)]
    table = read(build_workbook({"a": rows}), "a.xlsx")
    assert list(table.types) == ["school", "hours"]
    issue = table.issue("side_tables")
    assert issue is not None
    assert issue["examples"] == ["columns D to E: school count"]


def test_an_empty_column_does_not_divide_a_table(read: Read) -> None:
    rows = [["city", None, "people"], *([f"c{i}", None, i * i] for i in range(30))]
    table = read(build_workbook({"a": rows}), "a.xlsx")
    assert list(table.types) == ["city", "people"]
    assert table.issue("side_tables") is None


def test_two_tables_of_the_same_columns_are_not_joined(read: Read) -> None:
    rows: list[list[object]] = [["name", "dues", None, "name", "dues"]]
    rows += [[f"a{i}", i, None, f"b{i}", 2 * i] for i in range(30)]
    table = read(build_workbook({"a": rows}), "a.xlsx")
    assert list(table.types) == ["name", "dues"]
    assert table.issue("side_tables") is not None


def test_of_tables_below_each_other_in_a_sheet_the_longest_one_is_read(read: Read) -> None:
    people: list[list[object]] = [["name", "dues"], *([f"a{i % 5}", i] for i in range(20))]
    orders: list[list[object]] = [["order", "amount"], *([i, i / 4] for i in range(30))]
    table = read(build_workbook({"a": [*people, [], *orders]}), "a.xlsx")
    issue = table.issue("stacked_tables")
    assert issue is not None
    assert (list(table.types), table.summary.rows) == (["order", "amount"], 30)
    assert issue["examples"] == ["line 1: name dues"]


def test_blanks_in_cells_that_merge_categories_are_reported(read: Read) -> None:
    rows = [["status", "v"], *(["done " if i % 5 == 0 else "done", i] for i in range(40))]
    table = read(build_workbook({"a": rows}), "a.xlsx")
    issue = table.issue("merged_values")
    assert issue is not None
    assert issue["examples"] == ["status: done in 8 of its rows"]


def test_names_of_ages_below_a_title_and_a_note_are_found(read: Read) -> None:
    ages = [0, "1 to 4", *(f"{age} to {age + 4}" for age in range(5, 60, 5))]
    width = len(ages) + 2
    rows: list[list[object]] = [
        ["Deaths by age", *[None] * (width - 1)],
        [None] * (width - 2) + ["by date of event", "Unit: persons"],
        ["year", "sex", "age", *[None] * (width - 3)],
        [None, None, *ages],
        *(
            [1950 + i // 2, "mf"[i % 2], *(i * j + 100 for j in range(len(ages)))]
            for i in range(60)
        ),
    ]
    table = read(build_workbook({"a": rows}), "a.xlsx")
    assert list(table.types)[:4] == ["year", "sex", "age 0", "age 1 to 4"]
    assert table.summary.rows == 60
