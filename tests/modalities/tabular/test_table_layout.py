"""Title lines, headers, comments and footers of text files."""

import re

import pytest

from modalities.tabular.upload.layout.rulers import is_ruler_above_names, ruler_lines
from modalities.tabular.upload.read_options import ReadOptions
from tests.modalities.tabular.conftest import Read, Reject

ROWS = "".join(
    f"{age},{city},{age * 1.5}\n" for age, city in zip(range(20, 60), "ab" * 20, strict=True)
)


def test_a_line_that_states_the_delimiter_is_not_a_row(read: Read) -> None:
    table = read("sep=;\nage;city;score\n" + "33;Köln;33,3\n44;Bonn;9,9\n" * 5)
    assert table.types == {"age": "integer", "city": "category", "score": "number"}
    assert table.values("score")[:2] == [33.3, 9.9]
    assert table.summary.read["delimiter"] == ";"


@pytest.mark.parametrize(
    ("above", "code"),
    [
        ("Report of customers\n", "title_lines"),
        ("Report of customers,,\n\n", "title_lines"),
        ('"Source","World development"\n\n"Updated","2024-03-28"\n\n', "title_lines"),
        ("\n", None),
        ("\n  \n\n", None),
        ("# exported 2024-01-01\n# by x\n", None),
        ("% a, b and c\n", None),
    ],
)
def test_lines_above_the_header_are_left_out_and_reported(
    above: str, code: str | None, read: Read
) -> None:
    table = read(above + "age,city,score\n" + ROWS)
    assert list(table.types) == ["age", "city", "score"]
    assert table.summary.rows == 40
    assert table.summary.read["header"] == above.count("\n") + 1
    assert table.summary.read["skip_lines"] == above.count("\n")
    assert code is None or table.issue(code) is not None


@pytest.mark.parametrize("units", ["years,,EUR\n", "(y),(z),(%)\n", "x,y,z\nu,v,w\n"])
def test_rows_of_units_below_the_names_are_left_out_and_reported(units: str, read: Read) -> None:
    table = read("age,city,score\n" + units + ROWS)
    issue = table.issue("title_lines")
    assert issue is not None
    assert (table.summary.rows, issue["count"]) == (40, units.count("\n"))
    assert table.types["score"] == "number"


def test_names_below_counted_columns_are_the_names(read: Read) -> None:
    table = read("0,1,2\n,№ Summer,01 !\n" + ROWS.replace(",a,", ",7,").replace(",b,", ",8,"))
    assert list(table.types)[1:] == ["№ Summer", "01 !"]
    assert (table.summary.rows, table.summary.read["header"]) == (40, 2)


WIDE = "".join(f"{'ABCD'[i % 4]},{i},{i + 50},{i / 4},{i / 8}\n" for i in range(40))


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (",Sales,,Profit,\nRegion,2019,2020,2019,2020\n",
         ["Region", "Sales 2019", "Sales 2020", "Profit 2019", "Profit 2020"]),
        ("Region,Men,,Women,\n,n,%,n,%\n", ["Region", "Men n", "Men %", "Women n", "Women %"]),
        ("Region,x,x,y,y\n,min,max,min,max\n", ["Region", "x min", "x max", "y min", "y max"]),
        (",x,x,y,y\n,min,max,min,max\nkey,,,,\n", ["key", "x min", "x max", "y min", "y max"]),
        ("A report\n,Sales,,Profit,\nRegion,in,out,in,out\n",
         ["Region", "Sales in", "Sales out", "Profit in", "Profit out"]),
        ("Region,2022,,,\n,Men,,Women,\n,yes,no,yes,no\n",
         ["Region", "2022 Men yes", "2022 Men no", "2022 Women yes", "2022 Women no"]),
        ("Region,Men,Men,Women,Women\nRegion,a,b,b,b\nRegion,2021,2021,2021,2022\n",
         ["Region", "Men a 2021", "Men b 2021", "Women b 2021", "Women b 2022"]),
        ("A report,,,,\n,2021,,2022,\n,Men,Women,Men,Women\nRegion,n,n,n,n\n",
         ["Region", "2021 Men n", "2021 Women n", "2022 Men n", "2022 Women n"]),
    ],
)  # fmt: skip
def test_names_in_several_rows_are_joined_and_reported(
    header: str, names: list[str], read: Read
) -> None:
    table = read(header + WIDE)
    issue = table.issue("header_rows")
    assert issue is not None
    assert (list(table.types), table.summary.rows, issue["examples"][0]) == (names, 40, names[0])
    again = read(header + WIDE, options=ReadOptions(header=table.summary.read["header"]))
    assert list(again.types) == names


@pytest.mark.parametrize("row", ["a,b,c,d,e", "1,2,3,4,5", ",3,4,5,6"])
def test_the_first_row_below_names_that_repeat_is_not_a_name(row: str, read: Read) -> None:
    rows = "".join(f"{row}\n" for _ in range(20))
    assert read("k,x,x,y,y\n" + rows).summary.rows == 20


def test_words_for_missing_values_in_the_first_row_are_not_units(read: Read) -> None:
    assert read("age,city,score\nk.A.,a,k.A.\n" + ROWS + "k.A.,b,k.A.\n").summary.rows == 42
    assert (
        read("age,score\nNA,NA\n" + "".join(f"{i},{i}.5\n" for i in range(40))).summary.rows == 41
    )


def test_comments_between_rows_are_counted(read: Read) -> None:
    table = read("# a\nage,city,score\n" + ROWS + '# b, "c"\n' + ROWS)
    issue = table.issue("comment_lines")
    assert issue is not None
    assert (table.summary.rows, issue["count"]) == (80, 1)


@pytest.mark.parametrize("header", ["#chrom\tstart\n", "# chrom\tstart\n", "# a\n#chrom\tstart\n"])
def test_the_last_comment_may_hold_the_names(header: str, read: Read) -> None:
    table = read(header + "chr1\t10\nchr2\t20\n" * 5, "a.bed")
    assert list(table.types) == ["chrom", "start"]
    assert table.summary.rows == 10


def test_a_column_may_be_named_with_a_hash(read: Read) -> None:
    assert list(read("#,Name\n" + "1,x\n2,y\n" * 5).types) == ["#", "Name"]


@pytest.mark.parametrize(
    "footer",
    [
        "Total: 40 rows\n",
        "\n(40 rows)\n",
        "a\nb\n",
        "Notes:\nAges are in years, as reported, by, all\nCities: Ulm, Köln\nSee also, page 3\n",
        "# made by hand, in 2024\n",
        '"Source: Office, of ""all""", 2024\n',
    ],
)
def test_lines_below_the_table_are_left_out_and_reported(footer: str, read: Read) -> None:
    table = read("age,city,score\n" + ROWS + footer)
    issue = table.issue("footer_lines")
    assert issue is not None
    assert (table.summary.rows, issue["count"]) == (
        40,
        len(footer.split("\n")) - 1 - (footer[0] == "\n"),
    )


@pytest.mark.parametrize("end", ["44,Köln", "44,"])
def test_a_last_row_without_a_line_break_that_lacks_fields_is_cut_off(
    end: str, read: Read, reject: Reject
) -> None:
    table = read("age,city,score\n" + ROWS + end)
    issue = table.issue("footer_lines")
    assert issue is not None
    assert (table.summary.rows, issue["count"], issue["examples"]) == (40, 1, [end])
    two = "age,city,score\n" + ROWS + "44,Köln\n" + end
    assert reject(two).code == "wrong_field_count"


@pytest.mark.parametrize("end", ["44,Köln\n", "44,Köln,3.5,9\n", "Köln,Bonn\n"])
def test_a_last_row_of_values_with_too_few_or_many_fields_is_an_error(
    end: str, reject: Reject
) -> None:
    assert reject("age,city,score\n" + ROWS + end).code == "wrong_field_count"


def test_a_long_text_in_a_row_with_too_few_fields_is_an_error_in_its_line(reject: Reject) -> None:
    error = reject(f"age,city,score\n{ROWS}{'x' * 200_000},b\n")
    assert (error.code, error.field_errors[0].pointer) == ("wrong_field_count", "/file/lines/42")


@pytest.mark.parametrize(
    "end",
    [
        "Zoe,2024-01-03 12:10:00,55,7,8\n",
        "Doe Jane Ann Mary,2024-01-03 12:10:00,5,5,7\n",
        "Ulm: Zoe,2024-01-03,55\n",
        "Key West,2024-01-03,55,7,8\n",
    ],
)
def test_a_last_row_of_words_with_numbers_after_them_is_not_a_note(
    end: str, reject: Reject
) -> None:
    rows = "".join(f"Ann {i},2024-01-{i % 28 + 1:02} 12:00:00,{i},{i * 2}\n" for i in range(40))
    assert reject("name,at,score,n\n" + rows + end).code == "wrong_field_count"


def test_a_line_of_one_field_between_rows_is_an_error(reject: Reject) -> None:
    error = reject("age,city,score\n" + ROWS + "Page 2\n" + ROWS)
    assert (error.code, error.field_errors[0].pointer) == ("wrong_field_count", "/file/lines/42")


def test_long_last_lines_are_told_from_notes_in_linear_time(reject: Reject) -> None:
    words = ("a" + ";" * 3_000) * 3 + "1"  # a pattern that tries all divisions takes hours
    assert reject("age,city,score\n" + ROWS + f"{words},b\n").code == "wrong_field_count"


@pytest.mark.parametrize(
    ("end", "codes"),
    [
        ("Total,2000,3000\n", {"total_rows"}),
        ("Gesamt,2000,3000\n,,\nQuelle: Amt,,\n", {"total_rows", "footer_lines", "empty_rows"}),
        (",,\nData from a database,,\nLast Updated: 2024,,\n", {"footer_lines", "empty_rows"}),
        ("* estimated,,\n", {"footer_lines"}),
    ],
)
def test_totals_and_notes_at_the_end_are_left_out_and_reported(
    end: str, codes: set[str], read: Read
) -> None:
    rows = "".join(f"{'ABCD'[i % 4]},{i},{i}\n" for i in range(40))
    table = read("region,a,b\n" + rows + end)
    assert table.summary.rows == 40
    found = {issue.code for issue in table.summary.issues}
    assert found & {"total_rows", "footer_lines", "empty_rows"} == codes


@pytest.mark.parametrize(
    ("end", "labels"),
    [
        (",Total,,2000", ("Total",)),
        (",,Gesamt:,2000\n,,Durchschnitt,50", ("Gesamt:", "Durchschnitt")),
        (",\u5408\u8a08,,2000", ("\u5408\u8a08",)),
        (",\u0418\u0442\u043e\u0433\u043e,,2000", ("\u0418\u0442\u043e\u0433\u043e",)),
    ],
)
def test_totals_below_an_empty_first_cell_are_left_out_and_named(
    end: str, labels: tuple[str, ...], read: Read
) -> None:
    rows = "".join(f"{i},{'Total' if i == 7 else 'Part'},{'NS'[i % 2]},{i}\n" for i in range(40))
    table = read("no,kind,region,n\n" + rows + end + "\n")
    assert table.summary.rows == 40
    issue = table.issue("total_rows")
    assert issue is not None
    assert tuple(issue["examples"]) == labels


@pytest.mark.parametrize("word", ["Media", "max", "Total"])
def test_a_last_row_without_its_first_value_stays_if_others_have_its_word(
    word: str, read: Read
) -> None:
    rows = "".join(f"{i},{('Print', word)[i % 2]},{'NS'[i % 2]},{i}\n" for i in range(40))
    table = read(f"no,kind,region,n\n{rows},{word},N,7\n")
    assert table.summary.rows == 41
    assert table.issue("total_rows") is None


def test_headings_and_totals_of_groups_are_left_out_and_named(read: Read) -> None:
    groups = [
        f"{name},,\n"
        + "".join(f"Shop {i},{i},{i / 4}\n" for i in range(12))
        + f"Total {name},66,9\n"
        for name in ("North", "South", "West")
    ]
    table = read("shop,units,price\n" + "".join(groups))
    assert (table.summary.rows, table.types["units"]) == (36, "integer")
    examples = {issue.code: issue.examples for issue in table.summary.issues}
    assert examples["group_headings"] == ("North", "South", "West")
    assert examples["subtotal_rows"] == ("Total North", "Total South")
    assert examples["total_rows"] == ("Total West",)


@pytest.mark.parametrize("last", ["Zimbabwe,,", "Total,5,5"])
def test_rows_at_the_end_that_resemble_others_stay(last: str, read: Read) -> None:
    rows = "".join(f"{name},{i},{i}\n" for i in range(9) for name in ("Men", "Women", "Total"))
    assert read("group,a,b\n" + rows + last + "\n").summary.rows == 28


def test_headers_between_the_rows_are_left_out_and_counted(read: Read) -> None:
    table = read(("age,city,score\n" + ROWS) * 3)
    issue = table.issue("repeated_headers")
    assert issue is not None
    assert (table.summary.rows, issue["count"], table.types["age"]) == (120, 2, "integer")


def test_columns_of_fixed_width_with_blanks_in_values_are_read(read: Read) -> None:
    people = [("Ann Lee", 30, "New York"), ("Bob", 41, "Rome"), ("Cy Young", 9, "San Jose")] * 5
    lines = [
        f"{name:<12}{age:<6}{city}\n" for name, age, city in [("Name", "Age", "City"), *people]
    ]
    table = read("".join(lines))
    assert (list(table.types), table.values("City")[:2]) == (
        ["Name", "Age", "City"],
        ["New York", "Rome"],
    )


def test_empty_rows_at_the_end_are_left_out_and_reported(read: Read) -> None:
    table = read("age,city,score\n" + ",,\n" + ROWS + ",,\n" * 3)
    issue = table.issue("empty_rows")
    assert issue is not None
    assert (table.summary.rows, issue["count"]) == (41, 3)


@pytest.mark.parametrize(
    ("header", "row", "names"),
    [
        (
            "country,code,2019,2020,2021",
            "Germany,GER,2,27,85",
            ["country", "code", "2019", "2020", "2021"],
        ),
        ("country,1990,2000,2010", "Germany,2,1990,85", ["country", "1990", "2000", "2010"]),
        ("country,2019", "Germany,27", ["country", "2019"]),
        ("0,1,2,target", "0.464,0.19,0.19,a", ["0", "1", "2", "target"]),
        (",0,1", "0,5.1,3.4", ["column_1", "0", "1"]),
        ("place,1/22/20,1/23/20", "Bonn,3,4", ["place", "1/22/20", "1/23/20"]),
        ("q,25%,75%", "a,1,2", ["q", "25%", "75%"]),
    ],
)
def test_numbers_and_dates_may_be_names(
    header: str, row: str, names: list[str], read: Read
) -> None:
    table = read(f"{header}\n" + f"{row}\n" * 9)
    assert (list(table.types), table.summary.rows) == (names, 9)


@pytest.mark.parametrize(
    "row",
    ["Bonn,2019,2020", "5.1,3.5,setosa", "0,1,0", "$5,x,y", "2024-01-31,x,y", "12:30,x,y", "1,x,y"],
)
def test_values_are_not_names(row: str, read: Read) -> None:
    later = [row.replace("5", "6").replace("2020", "2021").replace("1", "2")] * 4 + [row] * 4
    table = read("\n".join([row, *later]) + "\n")
    assert (list(table.types), table.summary.rows) == (["column_1", "column_2", "column_3"], 9)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"age" "city"\n' + '"1" 30 "Bonn"\n"2" 44 "St. Ives"\n' * 5, ["column_1", "age", "city"]),
        ('"age","city"\n' + '"1",30,"Bonn"\n"2",44,"St. Ives"\n' * 5, ["column_1", "age", "city"]),
        ("age,city,\n" + "30,Bonn\n44,Köln\n" * 5, ["age", "city"]),
        ("age,city\n" + "30,Bonn,\n44,Köln,\n" * 5, ["age", "city"]),
        ("age,city,\n" + "30,Bonn,\n44,Köln,\n" * 5, ["age", "city"]),
        ("age,city,age\n" + "30,Bonn,1\n44,Köln,2\n" * 5, ["age", "city", "age_2"]),
        ("age,age_2,age\n" + "30,Bonn,1\n44,Köln,2\n" * 5, ["age", "age_2", "age_3"]),
        (
            " age | city\n-----+------\n  30 | Bonn\n  44 | Köln\n  9 | Ulm\n" * 1
            + " 1 | Bonn\n" * 5,
            ["age", "city"],
        ),
        (
            "| age | city |\n|----:|:-----|\n" + "| 30 | Bonn |\n| 44 | Köln |\n" * 5,
            ["age", "city"],
        ),
    ],
)
def test_headers_with_missing_extra_or_repeated_names_are_read(
    text: str, names: list[str], read: Read
) -> None:
    table = read(text)
    assert list(table.types) == names
    assert table.values("age")[:2] == [30, 44]
    if names != ["age", "city"]:
        assert table.issue("column_renamed") is not None


def test_an_unnamed_column_that_has_a_value_stays(read: Read) -> None:
    table = read("age,city,\n" + "30,Bonn,\n" * 300 + "44,Köln,note\n")
    assert table.values("column_3")[-1] == "note"


@pytest.mark.parametrize(
    ("names", "values"),
    [
        ("person,age", ["Ann,30,yes", "Bob,41,no", "Ann,9,no"] * 5),
        ("date,age", [f"2024-01-{i + 1:02},{i},{'xy'[i % 2]}" for i in range(15)]),
    ],
)
def test_a_last_column_without_a_name_does_not_move_the_names(
    names: str, values: list[str], read: Read
) -> None:
    table = read("\n".join([names, *values]))
    assert list(table.types) == [*names.split(","), "column_3"]
    assert table.types["age"] == "integer"


@pytest.mark.parametrize(
    "name", ["Amount\n(EUR)", "How old are you?\r\nPlease, be exact", "x" * 300, "tab\tname"]
)
def test_survey_questions_are_names(name: str, read: Read) -> None:
    table = read(f'"{name}",b\n' + "24,a\n31,b\n" * 5)
    assert list(table.types) == [name, "b"]
    assert table.values(name)[:2] == [24, 31]


@pytest.mark.parametrize(
    ("options", "names", "rows"),
    [
        (ReadOptions(header=False), ["column_1", "column_2"], 11),
        (ReadOptions(header=True), ["a", "b"], 10),
        (ReadOptions(header=3), ["x", "y"], 8),
        (ReadOptions(skip_lines=2), ["x", "y"], 8),
        (ReadOptions(skip_lines=2, header=False), ["column_1", "column_2"], 9),
        (ReadOptions(header=True, skip_lines=1), ["1", "2"], 9),
    ],
)
def test_header_and_skipped_lines_can_be_set(
    options: ReadOptions, names: list[str], rows: int, read: Read
) -> None:
    table = read("a,b\n1,2\nx,y\n" + "5,6\n" * 8, options=options)
    assert (list(table.types), table.summary.rows) == (names, rows)


def test_a_header_line_that_does_not_exist_is_an_error(reject: Reject) -> None:
    assert reject("a,b\n" + "1,2\n" * 9, options=ReadOptions(header=99)).code == "header_invalid"


@pytest.mark.parametrize("first", ["Airbus,A320,AB12", "France,fine,FR"])
def test_a_first_row_of_codes_or_countries_is_not_names(first: str, read: Read) -> None:
    countries = ("Spain", "Italy", "Norway", "Peru", "Chile")
    rows = [f"{countries[i % 5]},A{300 + i},{'XYZ'[i % 3]}K{i:02}" for i in range(30)]
    table = read("\n".join([first, *rows]))
    assert list(table.types) == ["column_1", "column_2", "column_3"]
    assert table.summary.rows == 31


def test_titles_may_stand_in_any_cell(read: Read) -> None:
    rows = "".join(f"Town {i},{i * 7},{i % 5}\n" for i in range(30))
    table = read(",State of Examples,\n,,\ntown,brown,other\n" + rows)
    assert list(table.types) == ["town", "brown", "other"]


def test_notes_of_several_cells_above_and_below_a_table_are_left_out(read: Read) -> None:
    notes = "Lots of people,,,\nsome like,,to write,\n,,notes,above\nor merge,,cells,\n"
    rows = "".join(f"p{i},{i},{i}.5,2020-01-{i + 1:02}\n" for i in range(12))
    table = read(f"{notes}who,age,size,born\n{rows},,and,\nthey,,,\n,,like it,\n")
    assert list(table.types) == ["who", "age", "size", "born"]
    assert table.summary.rows == 12
    issue = table.issue("footer_lines")
    assert issue is not None
    assert issue["count"] == 3


def test_options_below_the_questions_of_a_survey_are_names(read: Read) -> None:
    rows = "".join(
        f"r{i},{'macOS' * (i % 2)},{'BSD' * (i % 3 == 0)},{'Linux' * (i % 4 > 0)},Often\n"
        for i in range(9)
    )
    names = "id,Which systems do you use?,,,\n,macOS,BSD,Linux,How often?\n"
    table = read(names + rows)
    assert table.summary.rows == 9
    assert list(table.types)[1:3] == [
        "Which systems do you use? macOS", "Which systems do you use? BSD",
    ]  # fmt: skip


def test_codes_of_rows_without_values_are_not_headings(read: Read) -> None:
    rows = "".join(f"{i * 7919:012x},{'' if i % 8 == 0 else i},{'' if i % 8 == 0 else i % 5}\n"
                   for i in range(80))  # fmt: skip
    table = read(f"user,hours,score\n{rows}")
    assert table.summary.rows == 80
    assert table.issue("group_headings") is None


FULL = "".join(f"p{i},{i},{i}.5,{i % 3},{'xy'[i % 2]},{i * 7}\n" for i in range(12))
NAMES = "who,age,size,class,sex,score\n"


@pytest.mark.parametrize(
    "above",
    [
        "Refreshed on:,,Dec-27 2020,,,\n",
        "Report,2024-03-01,,,,\n",
        "Author:,Jo,,,,\nDate:,2024-03-01,,,,\n",
        "Prepared by,Jo Smith,,,,\n",
    ],
)
def test_notes_in_two_cells_above_the_names_are_left_out(above: str, read: Read) -> None:
    table = read(above + NAMES + FULL)
    assert list(table.types) == NAMES.strip().split(",")
    assert (table.summary.rows, table.types["age"]) == (12, "integer")
    assert table.issue("title_lines") is not None


def test_names_of_groups_below_a_title_are_joined(read: Read) -> None:
    table = read("Report,2024-03-01,,,,\n,,Body,,Result,\n" + NAMES + FULL)
    assert list(table.types)[2:4] == ["Body size", "Body class"]
    assert table.summary.rows == 12


def test_the_row_with_the_name_of_the_dates_holds_the_names(read: Read) -> None:
    rows = "".join(f"2020-01-{i + 1:02},{i}.5\n" for i in range(12))
    table = read("Back to contents,Data 1: prices\nSource key,RBRTE\nDate,Price\n" + rows)
    assert table.types == {"Date": "datetime", "Price": "number"}


@pytest.mark.parametrize("names", ["what,2019,2018,2017,2016 *", "what,1568,1569,1571,1574,1580"])
def test_years_downwards_and_with_gaps_are_names(names: str, read: Read) -> None:
    width = names.count(",")
    rows = "".join(f"w{i}" + f",{i * 3}" * width + "\n" for i in range(12))
    assert list(read(f"{names}\n{rows}").types) == names.split(",")


VARIABLES = [
    ["Year", *[str(1990 + i) for i in range(30)]],
    ["Price", *[f"{i * 7 % 13 + 0.25}" for i in range(30)]],
    ["Weight", *[str(i * 5 % 17) for i in range(30)]],
    ["Length", *[str(i * 3 % 19) for i in range(30)]],
    ["Color", *["red", "blue", "green"] * 10],
    ["Sold", *[f"2020-01-{i + 1:02}" for i in range(30)]],
]
TRANSPOSED = "".join(",".join(row) + "\n" for row in VARIABLES)


def test_rows_with_values_of_one_kind_each_are_columns(read: Read) -> None:
    table = read(TRANSPOSED)
    assert table.types["Color"] == "category"
    assert table.types["Sold"] == "datetime"
    assert (table.summary.rows, table.types["Price"]) == (30, "number")
    assert table.issue("transposed") is not None
    assert table.summary.read["transpose"] is True


def test_transposition_can_be_set(read: Read) -> None:
    assert len(read(TRANSPOSED, options=ReadOptions(transpose=False)).types) == 31
    names, *rows = zip(*VARIABLES, strict=True)
    text = "".join(",".join(row) + "\n" for row in [names, *rows])
    table = read(text, options=ReadOptions(transpose=True))
    assert (len(table.types), table.issue("transposed")) == (31, None)


def test_a_table_with_rows_of_units_and_totals_is_not_transposed(read: Read) -> None:
    rows = "".join(f"r{i}," + ",".join(str(i * j % 9) for j in range(8)) + "\n" for i in range(20))
    text = "name,a,b,c,d,e,f,g,h\nunit,kg,kg,m,m,s,s,A,A\n" + rows + "Total,1,2,3,4,5,6,7,8\n"
    assert read(text).summary.read["transpose"] is False


def test_too_many_rows_cannot_be_transposed(reject: Reject) -> None:
    error = reject("a,b\n" + "1,2\n" * 300, options=ReadOptions(transpose=True))
    assert "read.transpose" in str(error)


def test_years_without_a_name_are_numbers(read: Read) -> None:
    rows = "".join(f"{year},{year % 7}\n" for year in range(1950, 2000))
    table = read(",x\n" + rows)
    assert table.types["column_1"] == "integer"


def test_totals_and_shares_above_the_rows_are_left_out_and_named(read: Read) -> None:
    rows = "".join(f"town {i},{i * 3},{i % 7}\n" for i in range(30))
    table = read("town,people,schools\nTotal,1305,87\nPercentage,100,6.7\n" + rows)
    issue = table.issue("total_rows")
    assert issue is not None
    assert (issue["examples"], table.summary.rows) == (["Total", "Percentage"], 30)


def test_a_total_above_the_rows_may_be_in_a_later_cell(read: Read) -> None:
    rows = "".join(f"202401{i:02},{'abc'[i % 3]},{i * 3}\n" for i in range(1, 31))
    table = read("date,channel,sessions\n,Grand total,1395\n" + rows)
    issue = table.issue("total_rows")
    assert issue is not None
    assert (issue["examples"], table.summary.rows) == (["Grand total"], 30)
    brands = read("date,channel,sessions\n,Total,90\n" + rows)
    assert (brands.summary.rows, brands.issue("total_rows")) == (31, None)
    gaps = "".join(f"{i},{'abc'[i % 3]},{i * 3}\n,Total,{i}\n" for i in range(20))
    assert read("date,channel,sessions\n" + gaps).summary.rows == 40


def test_lines_between_the_pages_of_a_printed_list_are_left_out(read: Read) -> None:
    names, ruler = "|Part   |     Amount|", "-" * 21
    rows = [f"|A-{i % 7}    |{i * 1.5:>8.2f}{'-' if i % 3 else ' '}  |" for i in range(60)]
    pages = [
        "\n".join([f"Stock list   page {i}", "", ruler, names, ruler, *rows[20 * i : 20 * i + 20]])
        for i in range(3)
    ]
    table = read("\n".join([*pages, ruler]) + "\n", "stock.txt")
    assert (table.summary.rows, list(table.types)) == (60, ["Part", "Amount"])
    assert table.values("Amount")[:4] == [0.0, -1.5, -3.0, 4.5]
    issue = table.issue("comment_lines")
    assert issue is not None
    assert issue["examples"] == ["Stock list   page 1", "Stock list   page 2"]


_LISTED = [f"|P-{i * 37 % 999:03}|{i * 1.25:9.2f}|{('Bonn', 'Ulm')[i % 2]:4}|" for i in range(40)]
_RULERS = ("|-----|---------|----|", "|--------------------|", "|=====|=========|====|", "-" * 22)


@pytest.mark.parametrize("ruler", _RULERS)
@pytest.mark.parametrize("is_above", [True, False])
def test_rulers_among_the_rows_of_a_printed_list_are_left_out(
    ruler: str, *, is_above: bool, read: Read
) -> None:
    lines = [ruler] * is_above + ["|Part |   Amount|Town|", ruler]
    text = "\n".join([*lines, *_LISTED[:20], ruler, *_LISTED[20:], ruler]) + "\n"
    table = read(text, "stock.txt")
    assert (table.summary.rows, list(table.types)) == (40, ["Part", "Amount", "Town"])
    assert (table["Amount"].type, table["Amount"].nullable) == ("number", False)
    assert set(table.values("Town")) == {"Bonn", "Ulm"}


@pytest.mark.parametrize("delimiter", [",", "|", "   "])
def test_rulers_between_fields_are_left_out_and_counted(delimiter: str, read: Read) -> None:
    ruler = delimiter.join(["----", "-----", "----"])
    rows = [delimiter.join([f"P{i:03}", f"{i * 7:5}", "Bonn"]) for i in range(40)]
    names = delimiter.join(["Part", "Count", "Town"])
    table = read("\n".join([names, ruler, *rows[:20], ruler, *rows[20:]]) + "\n", "stock.txt")
    issue = table.issue("rulers")
    assert issue is not None
    assert (issue["count"], table.summary.rows) == (1, 40)
    assert (table["Count"].type, table["Count"].nullable) == ("integer", False)


def test_a_text_of_very_many_hyphens_is_compared_in_linear_time() -> None:
    """Comparing it from each of its hyphens would take an hour."""
    text = "-" * 10**6
    assert is_ruler_above_names([text])
    assert not is_ruler_above_names([f"{text}x"])
    assert re.fullmatch(ruler_lines("|"), text)
    assert not re.fullmatch(ruler_lines("|"), f"{text}x")


def test_hyphens_in_some_cells_are_values_or_missing(read: Read) -> None:
    rows = "".join(f"{('---', f'P{i}')[i % 5 > 0]},{i * 3},{i % 7}\n" for i in range(50))
    table = read("part,count,day\n" + rows)
    assert (table.summary.rows, table.issue("rulers")) == (50, None)


def test_rows_of_a_pipe_file_with_a_mostly_empty_column_stay(read: Read) -> None:
    rows = [f"{'' if i % 10 else 'Jr.'}|Smith{i % 37}|Rome{i % 5}" for i in range(300)]
    table = read("\n".join(["suffix|last|city", *rows]) + "\n", "people.txt")
    assert table.summary.rows == 300
    assert table.values("suffix").count("Jr.") == 30
    ends = [f"{row}|" for row in rows]
    table = read("\n".join(["suffix|last|city|", *ends]) + "\n", "people.txt")
    assert (table.summary.rows, table.values("suffix").count("Jr.")) == (300, 30)


def test_explained_abbreviations_below_a_table_are_left_out(read: Read) -> None:
    rows = "".join(f"{i},{i % 4},{'n.d.' if i % 3 else i / 8}\n" for i in range(120))
    table = read("sample,site,lead\n" + rows + "n.d. = not detected,,\n")
    assert (table.summary.rows, table["lead"].type) == (120, "number")
    assert table.issue("footer_lines") is not None


def test_a_total_among_repeated_words_stays(read: Read) -> None:
    rows = "".join(f"{sex},{i},{i % 7}\n" for i in range(12) for sex in ("Total", "Male", "Female"))
    assert read("sex,year,schools\n" + rows).summary.rows == 36


def test_words_after_a_label_below_a_table_are_left_out(read: Read) -> None:
    rows = "".join(f",town {i},{i * 3},\n" for i in range(30))
    table = read(f",town,people,\n{rows},Code: UD-17,,\n,,,\nZdroj:,Office,,made today\n")
    assert (list(table.types), table.summary.rows) == (["town", "people"], 30)
    assert table.issue("footer_lines") is not None


def test_a_small_table_of_rows_that_are_columns_names_the_option(reject: Reject) -> None:
    text = "year,2001,2002,2003,2004,2005\nwheat,7,8,9,10,11\nrye,3,4,5,6,7\n"
    assert "set `read.transpose`" in str(reject(text))
    assert "read.transpose" not in str(reject("a,b\n1,2\n3,4\n5,6\n"))


def test_a_delimiter_after_the_names_only_does_not_hide_them(read: Read) -> None:
    rows = "".join(f"grant,0x{i:04x},Grant {i},https://e.org/{i * 7}\n" for i in range(30))
    table = read("tags,address,name,source,\n" + rows)
    assert list(table.types) == ["tags", "address", "name", "source"]
    assert table.summary.rows == 30


ORDERS = "".join(f"{i},{i * 7 % 50}.5,2024-01-{i % 28 + 1:02}\n" for i in range(60))


@pytest.mark.parametrize("title", ["", "Orders of 2024\n"])
@pytest.mark.parametrize("orders_first", [True, False])
def test_of_tables_below_each_other_the_longest_one_is_read(
    title: str, *, orders_first: bool, read: Read
) -> None:
    parts = [f"{title}order,amount,day\n{ORDERS}", "age,city,score\n" + ROWS]
    text = "\n".join(parts if orders_first else reversed(parts))
    table = read(text)
    issue = table.issue("stacked_tables")
    assert issue is not None
    assert (list(table.types), table.summary.rows) == (["order", "amount", "day"], 60)
    line = text[: text.index("age,")].count("\n")
    assert issue["examples"] == [f"line {line + 1}: age city score"]
    other = read(text, options=ReadOptions(skip_lines=line))
    assert (list(other.types), other.summary.rows) == (["age", "city", "score"], 40)


@pytest.mark.parametrize(
    "below",
    ["\nage,city,score\n" + ROWS, "\n" + ROWS, "\nNorth,,\n" + ROWS, "\nage,city,points\n" + ROWS],
)
def test_an_empty_row_between_the_rows_does_not_begin_another_table(below: str, read: Read) -> None:
    table = read("age,city,score\n" + ROWS + below)
    assert table.issue("stacked_tables") is None
    assert table.summary.rows in {80, 81}


@pytest.mark.parametrize("row", ["Leeds,pending review,not measured", "Leeds,,n.d."])
def test_a_row_of_words_below_an_empty_row_does_not_begin_another_table(
    row: str, read: Read
) -> None:
    rows = "".join(f"{'abc'[i % 3]},{'xy'[i % 2]},{i}\n" for i in range(40))
    table = read(f"city,state,score\n{rows}\n{row}\n{rows}")
    assert table.issue("stacked_tables") is None
    assert (list(table.types), table.summary.rows) == (["city", "state", "score"], 81)


def test_a_title_begins_a_table_whose_columns_are_of_the_kinds_above(read: Read) -> None:
    first = "".join(f"{'abc'[i % 3]},{i}\n" for i in range(30))
    second = "".join(f"{'uvw'[i % 3]},{i * 7}\n" for i in range(40))
    table = read(f"city,score\n{first}\nSales of 2024\nproduct,units\n{second}")
    assert table.issue("stacked_tables") is not None
    assert (list(table.types), table.summary.rows) == (["product", "units"], 40)


TOWNS = "name,city,n\n" + "".join(f"Anna{i},{('Bonn', 'Rome')[i % 2]},{i}\n" for i in range(20))


@pytest.mark.parametrize(
    "below",
    [
        "code,price\nA1,3.5\nB2,4.5\n",
        "customer,town,visits\n"
        + "".join(f"c{i},{('Lyon', 'Nice')[i % 2]},{i}\n" for i in range(9)),
    ],
)
def test_short_tables_and_those_of_the_same_kinds_below_another_are_left_out(
    below: str, read: Read
) -> None:
    table = read(TOWNS + "\n" + below)
    assert table.summary.rows == 20
    assert table.issue("stacked_tables") is not None


@pytest.mark.parametrize("first", ["Anna99,Bonn,not measured", "Anna99,Kiel,not measured"])
def test_words_for_a_number_below_an_empty_row_are_not_names(first: str, read: Read) -> None:
    rows = "".join(f"Anna{i},{('Bonn', 'Rome')[i % 2]},{i}\n" for i in range(30, 39))
    table = read(TOWNS + f"\n{first}\n{rows}")
    assert table.issue("stacked_tables") is None
    assert table.summary.rows == 30


@pytest.mark.parametrize("names", ["color,level,score", "Color,Level,Score"])
def test_a_group_of_rows_with_other_words_below_an_empty_row_is_not_a_table(
    names: str, read: Read
) -> None:
    groups = ["".join(f"{words},{i}\n" for i in range(5)) for words in ("red,low", "blue,high")]
    table = read(f"{names}\n{groups[0]}\nBob,mid,absent\n{groups[1]}")
    assert table.issue("stacked_tables") is None
    assert table.summary.rows == 11


def _without_empty_ends(rows: list[list[str]]) -> str:
    lines = []
    for row in rows:
        while not row[-1]:
            row.pop()
        lines.append(",".join(row))
    return "bird,count,place,note,photo\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("count", [30, 20_000])
def test_rows_that_end_with_their_last_value_are_padded_and_counted(count: int, read: Read) -> None:
    notes = ['"seen, and heard"', "", '"on\nthe shore"']
    rows = [
        ["Emu", str(i % 9), f"Bay {i % 4}", notes[i % 3] * (i % 5 == 0), f"p{i}" * (i % 4 == 0)]
        for i in range(count)
    ]
    photos = [row[4] for row in rows]
    table = read(_without_empty_ends(rows), "birds.csv")
    assert table.summary.rows == count
    assert [value or "" for value in table.values("photo")] == photos
    issue = table.issue("short_rows")
    assert issue is not None
    assert issue["count"] == sum(not photo for photo in photos)


def test_rows_without_a_delimiter_in_the_middle_are_not_padded(reject: Reject) -> None:
    rows = [f"Emu,{i},Bay{',' * (i % 5 > 0)}{i * 3},{i % 7},x" for i in range(60)]
    assert "fields" in reject("bird,count,place,deep,wind,note\n" + "\n".join(rows) + "\n").detail


def test_a_note_below_rows_without_their_empty_ends_is_no_row(read: Read) -> None:
    rows = [["Emu", str(i), "Bay", "", f"{i}" * (i % 4 == 0)] for i in range(40)]
    table = read(_without_empty_ends(rows) + "Exported by Ann\n", "birds.csv")
    assert (table.summary.rows, table.issue("footer_lines") is None) == (40, False)
