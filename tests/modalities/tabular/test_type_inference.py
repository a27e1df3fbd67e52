"""Inference of column types, and values returned in the format of the upload."""

import pytest

from tests.modalities.tabular.conftest import Read
from tests.modalities.tabular.factories import build_column_csv, build_csv


@pytest.mark.parametrize(
    ("values", "type", "decimals", "shown"),
    [
        (["1", "-2", "30", "4", "5"], "integer", 0, 1),
        (["10000000000000000", "9007199254740993", "1", "2", "3"], "integer", 0, 10**16),
        (["1.0", "2.0", "", "3.0", "4.0"], "integer", 1, 1),
        (["1.5", "2.25", "3", "-4.5", ".5"], "number", 2, 1.5),
        (["1e-3", "2.5", "3", "4", "5"], "number", None, 0.001),
        (["007", "012", "100", "007", "012"], "category", None, "007"),
        (["12345678901234567890", "1", "2", "1", "2"], "category", None, "12345678901234567890"),
        (["red", "blue", "red", "blue", "red"], "category", None, "red"),
        (["Yes", "No", "Yes", "No", "Yes"], "category", None, "Yes"),
        (["TRUE", "FALSE", "TRUE", "", "FALSE"], "boolean", None, True),
        (["é", "日本", "🙂", "é", "日本"], "category", None, "é"),
        (["", "", "", "", ""], "category", None, None),
        (["7", "7", "7", "7", "7"], "integer", 0, 7),
    ],
)
def test_column_type_is_inferred_from_the_values(
    values: list[str], type: str, decimals: int | None, shown: object, read: Read
) -> None:
    table = read(build_column_csv(*values))
    assert (table["a"].type, table["a"].decimals) == (type, decimals)
    assert table["a"].nullable == ("" in values)
    assert table.preview("a")[0] == shown
    assert table.values("a").count(None) == values.count("")


@pytest.mark.parametrize("codes", [["007"], ["1" * 20], [f"0{i}.10" for i in range(1, 10)]])
def test_codes_among_numbers_are_not_lost(codes: list[str], read: Read) -> None:
    numbers = [str(number) for number in range(100, 400)] * 5
    assert read(build_column_csv(*numbers, *codes))["a"].type not in ("integer", "number")


def test_large_integers_keep_every_digit(read: Read) -> None:
    table = read(build_column_csv("10000000000000000", "9007199254740993", "1", "2", "3"))
    assert table.values("a")[:2] == [10**16, 9007199254740993]


@pytest.mark.parametrize(
    ("text", "format", "moment"),
    [
        ("2021-02-28", "%Y-%m-%d", "2021-02-28T00:00:00"),
        ("2021/2/28", "%Y/%-m/%-d", "2021-02-28T00:00:00"),
        ("28.02.2021", "%d.%m.%Y", "2021-02-28T00:00:00"),
        ("28/02/2021 7:05", "%d/%m/%Y %-H:%M", "2021-02-28T07:05:00"),
        ("02/28/2021", "%m/%d/%Y", "2021-02-28T00:00:00"),
        ("2021-02-28T07:05:09", "%Y-%m-%dT%H:%M:%S", "2021-02-28T07:05:09"),
        ("2021-02-28 07:05:09Z", "%Y-%m-%d %H:%M:%SZ", "2021-02-28T07:05:09"),
        ("1969-12-31T23:59:59", "%Y-%m-%dT%H:%M:%S", "1969-12-31T23:59:59"),
        ("2021-02-28T07:05:09+02:00", "%Y-%m-%dT%H:%M:%S+02:00", "2021-02-28T05:05:09"),
        (
            "2021-02-28 07:05:09.250",
            "%Y-%m-%d %H:%M:%S.%f",
            "2021-02-28T07:05:09.250000",
        ),
    ],
)
def test_datetimes_are_read_and_written_in_their_format(
    text: str, format: str, moment: str, read: Read
) -> None:
    table = read(build_column_csv(text, "", text, text, text))
    assert (table["a"].type, table["a"].format, table["a"].nullable) == ("datetime", format, True)
    assert [value and value.isoformat() for value in table.values("a")[:2]] == [moment, None]
    assert table.preview("a")[0] == text


@pytest.mark.parametrize(
    ("short", "long"),
    [("21-02-03", "2021-02-28"), ("03/02/21", "28/02/2021"), ("02/03/21", "02/28/2021")],
)
def test_years_of_two_digits_are_read_in_the_order_of_those_of_four(
    short: str, long: str, read: Read
) -> None:
    table = read(build_column_csv(short, short, short, short, long))
    assert table["a"].type == "datetime"
    dates = [value.date().isoformat() for value in table.values("a")]
    assert dates == ["2021-02-03"] * 4 + ["2021-02-28"]


@pytest.mark.parametrize(
    "dates", [["31-12-99"] * 4 + ["1999-12-31"], ["12/31/99"] * 4 + ["31/12/1999"]]
)
def test_dates_of_different_orders_stay_a_category(dates: list[str], read: Read) -> None:
    assert read(build_column_csv(*dates))["a"].type == "category"


@pytest.mark.parametrize("text", ["2021-02-31", "10000-01-01", "2021-02-28 25:00", "12:30"])
def test_invalid_datetimes_stay_a_category(text: str, read: Read) -> None:
    table = read(build_column_csv(text, text, text, text, "2021-02-28"))
    assert table["a"].type == "category"
    assert table.preview("a")[0] == text


@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("half", [" AM", " p.m."])
def test_times_of_day_with_and_without_am_or_pm_are_read(
    half: str, share: float, read: Read
) -> None:
    hours = [1 + i % 11 for i in range(100)]
    plain = [i % 10 < 10 * share for i in range(100)]
    texts = [
        f"{hour:02}:{i % 60:02}" if is_plain else f"{hour}:{i % 60:02}{half}"
        for i, (hour, is_plain) in enumerate(zip(hours, plain, strict=True))
    ]
    table = read(build_column_csv(*texts))
    assert table["a"].type == "time"
    assert table.issue("mixed_date_formats") is not None
    later = 0 if half == " AM" else 12
    expected = [h if is_plain else h + later for h, is_plain in zip(hours, plain, strict=True)]
    assert [value.hour for value in table.values("a")] == expected
    assert [value.minute for value in table.values("a")] == [i % 60 for i in range(100)]


def test_clocks_with_and_without_seconds_stay_a_category(read: Read) -> None:
    """They may be durations of minutes and seconds, and of hours."""
    texts = [f"{i % 12:02}:{i % 60:02}" for i in range(50)]
    texts += [f"{i % 3}:{i % 60:02}:{i % 7:02}" for i in range(50)]
    assert read(build_column_csv(*texts))["a"].type != "time"


ORDERED = [f"{1 + i % 12:02}/{1 + i % 11:02}/2024" for i in range(40)]


def test_other_dates_of_a_table_show_the_order_of_day_and_month(read: Read) -> None:
    later = [f"{1 + i % 12:02}/{1 + i % 28:02}/2024" for i in range(40)]
    table = read(build_csv({"ordered": ORDERED, "paid": later, "n": range(40)}))
    assert (table["ordered"].format, table["paid"].format) == ("%m/%d/%Y", "%m/%d/%Y")
    assert table.preview("ordered")[:2] == ORDERED[:2]
    issue = table.issue("ambiguous_date_format")
    assert issue is not None
    assert (issue["severity"], issue["examples"]) == ("info", ["ordered: %m/%d/%Y, as in paid"])
    different = [f"{1 + i % 28:02}/{1 + i % 12:02}/2024" for i in range(40)]
    table = read(build_csv({"ordered": ORDERED, "paid": later, "sent": different}))
    assert table["ordered"].format == "%d/%m/%Y"
    issue = table.issue("ambiguous_date_format")
    assert issue is not None
    assert issue["severity"] == "warning"


@pytest.mark.parametrize(
    "others",
    [
        ["12/31/2021"] * 40,
        [f"{1 + i % 12:02}.{1 + i % 28:02}.2021" for i in range(40)],
        [f"{1 + i % 12:02}/{1 + i % 28:02}/21" for i in range(40)],
    ],
    ids=["constant", "separator", "year"],
)
def test_dates_of_another_kind_do_not_show_the_order(others: list[str], read: Read) -> None:
    table = read(build_csv({"ordered": ORDERED, "other": others}))
    assert table["ordered"].format == "%d/%m/%Y"
    issue = table.issue("ambiguous_date_format")
    assert issue is not None
    assert issue["severity"] == "warning"


def test_dates_that_begin_with_the_year_do_not_show_the_order(read: Read) -> None:
    short = [f"{1 + i % 12:02}/{1 + i % 11:02}/{1 + i % 9:02}" for i in range(40)]
    year_first = [f"{70 + i % 25}-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(40)]
    table = read(build_csv({"ordered": short, "born": year_first}))
    assert (table["ordered"].format, table["born"].format) == ("%d/%m/%y", "%y-%m-%d")


def test_ambiguous_date_format_is_reported(read: Read) -> None:
    table = read(
        build_column_csv("01/02/2021", "03/04/2021", "05/06/2021", "07/08/2021", "09/10/2021")
    )
    assert table["a"].format == "%d/%m/%Y"
    issue = table.issue("ambiguous_date_format")
    assert issue is not None
    assert issue["examples"] == ["a: %d/%m/%Y, not %m/%d/%Y"]


def test_decimal_comma_is_recognized_when_it_is_not_the_delimiter(read: Read) -> None:
    table = read("a;b\n1,5;x\n2,25;y\n-3,1;x\n4;y\n5;x\n")
    assert (table["a"].type, table["a"].decimals, table["a"].format) == ("number", 2, "0,##")
    assert table.values("a")[:2] == [1.5, 2.25]


def test_thousands_separator_is_not_read_as_a_decimal_comma(read: Read) -> None:
    table = read('a,b\n"1,234",x\n"2,345",y\n"3,456",x\n"1,234",y\n"2,345",x\n')
    assert (table["a"].type, table["a"].format) == ("integer", "#,##0")
    assert table.values("a")[0] == 1234


def test_missing_value_markers_among_numbers_become_missing_and_are_reported(read: Read) -> None:
    table = read(build_column_csv("1", "NA", "3", "?", "5"))
    assert (table["a"].type, table["a"].nullable) == ("integer", True)
    assert table.values("a") == [1, None, 3, None, 5]
    issue = table.issue("missing_value_markers")
    assert issue is not None
    assert issue["examples"] == ["a: 2 rows, first row 2"]


def test_missing_value_markers_among_text_stay_text(read: Read) -> None:
    table = read(build_column_csv("None", "Mild", "None", "?", "Mild"))
    assert table.values("a") == ["None", "Mild", "None", "?", "Mild"]


def test_infinite_numbers_become_missing_and_are_reported_by_row(read: Read) -> None:
    table = read(build_column_csv("1.5", "inf", "-Infinity", "1e999", "2.5", "nan"))
    assert table["a"].type == "number"
    assert table.values("a") == [1.5, None, None, None, 2.5, None]
    issue = table.issue("non_finite")
    assert issue is not None
    assert (issue["count"], issue["examples"]) == (3, ["a: row 2", "a: row 3", "a: row 4"])


def test_numbers_mixed_with_text_are_a_category_and_reported(read: Read) -> None:
    table = read(build_column_csv("1", "2", "oops", "3", "2", "1"))
    assert table["a"].type == "category"
    issue = table.issue("mixed_types")
    assert issue is not None
    assert (issue["count"], issue["examples"]) == (1, ["a (0): row 3"])


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("Order", range(398_481, 398_681)), ("Mat.Beleg", range(4_900_000_001, 4_900_000_601, 3))],
)
def test_numbers_of_documents_and_high_consecutive_ones_are_identifiers(
    name: str, numbers: range, read: Read
) -> None:
    assert read(build_column_csv(*numbers, name=name)).types[name] == "id"
    assert read(build_column_csv(*range(1, 201), name="Order")).types["Order"] == "integer"


def test_categories_of_which_some_have_a_number_are_not_reported(read: Read) -> None:
    table = read(build_column_csv(*[">64", "18-64", ">64", "unknown"] * 20))
    assert table["a"].type == "category"
    assert table.issue("mixed_types") is None


def test_identifier_columns_and_free_text_are_detected_and_reported(read: Read) -> None:
    rows = range(60)
    table = read(
        build_csv(
            {
                "row": rows,
                "customer_id": [7_919 * i % 10_007 for i in rows],
                "mail": [f"user{i}@example.org" for i in rows],
                "review": [f"the {i}th time that I have bought this and liked it" for i in rows],
                "age": [18 + i % 50 for i in rows],
            }
        )
    )
    assert table.types == {
        "row": "id",
        "customer_id": "id",
        "mail": "id",
        "review": "text",
        "age": "integer",
    }
    assert table["review"].exclude
    assert not table["mail"].exclude
    ids, text = table.issue("id_like_column"), table.issue("free_text")
    assert ids is not None
    assert text is not None
    assert ids["examples"] == ["row", "customer_id", "mail (email)"]
    assert (text["severity"], text["examples"]) == ("warning", ["review"])


def test_distinct_integers_alone_do_not_make_an_id_column(read: Read) -> None:
    table = read(build_csv({"price": [7_919 * i % 100_003 for i in range(60)], "b": [1, 2] * 30}))
    assert table["price"].type == "integer"


def test_decimal_numbers_below_thirteen_are_not_months(read: Read) -> None:
    numbers = [f"{1 + i % 12}.{(i * 7919) % 10_000:04}" for i in range(200)]
    assert read(build_column_csv(*numbers))["a"].type == "number"


def test_repeated_numbers_named_id_are_identifiers(read: Read) -> None:
    numbers = [100_003 + i * 7919 for i in range(90)]
    table = read(build_column_csv(*numbers, *numbers[:20], name="player_id"))
    assert table["player_id"].type == "id"


def test_two_long_numbers_with_a_comma_between_them_are_not_one_with_decimals(read: Read) -> None:
    rows = [f"{number},{60_000 + 7 * number}" for number in range(200)]
    pairs = [f'{number},"61936,61937"' for number in range(2)]
    table = read("\n".join(["game,related", *rows, *pairs]) + "\n")
    assert table.types["related"] == "integer"
    issue = table.issue("odd_values")
    assert issue is not None
    assert issue["count"] == 2
