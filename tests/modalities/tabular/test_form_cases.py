"""Tables as people have them: columns are typed, and returned in the form in which they came."""

import csv
import io
import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modalities.tabular import encode
from modalities.tabular.forms.number_patterns import number_form, pattern_of
from modalities.tabular.typed_parquet import typed_batches
from modalities.tabular.upload.read_options import ReadOptions
from modalities.tabular.upload.schema_overrides import ColumnOverride
from tests.modalities.tabular.conftest import Read, Reject, Table
from tests.modalities.tabular.factories import (
    build_arrow,
    build_column_csv,
    build_csv,
    build_parquet,
)

CASES = Path(__file__).parent / "cases"


def encode_table(table: Table, format: str) -> bytes:
    columns = [column for column in table.summary.schema.columns if not column.exclude]
    batches = typed_batches(table.path, table.summary.schema.columns)
    return b"".join(encode.encode(format, batches, columns, {}))


def written(table: Table) -> list[str]:
    """Return the column `a` as CSV samples have it."""
    return [row[0] for row in csv_rows(encode_table(table, "csv").decode())[1:]]


def csv_rows(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text), delimiter=delimiter))


def build_delimited(names: list[str], rows: list[list[str]], delimiter: str) -> str:
    return "".join(delimiter.join(row) + "\n" for row in [names, *rows])


@pytest.mark.parametrize(
    ("name", "column", "type", "format"),
    [
        ("codes", "zip", "category", None),
        ("usdate", "when", "datetime", "%-m/%-d/%Y"),
        ("us12h", "when", "datetime", "%-m/%-d/%Y %-I:%M:%S %p"),
        ("2digit", "when", "datetime", "%d/%m/%y"),
        ("yyyymmdd", "when", "datetime", "%Y%m%d"),
        ("month", "when", "datetime", "%Y-%m"),
        ("timeonly", "when", "time", "%H:%M"),
        ("tz", "when", "datetime", "%Y-%m-%dT%H:%M:%S+01:00"),
        ("quarter", "when", "datetime", "%YQ%q"),
        ("yearunique", "when", "integer", None),
        ("usd", "price", "number", "$#,##0.00"),
        ("thousands", "pop", "integer", "#,##0"),
        ("percent", "rate", "number", "0.0%"),
        ("eurthousand", "betrag", "number", "#.##0,00"),
        ("eurthousandint", "einwohner", "integer", "#.##0"),
        ("sci", "pval", "number", "0.000e+00"),
        ("plus", "delta", "integer", "+0"),
        ("dec", "x", "number", None),
        ("24h", "at", "datetime", "%Y-%m-%d %24H:%M"),
    ],
)
def test_table_is_returned_in_the_form_in_which_it_came(
    name: str, column: str, type: str, format: str | None, read: Read
) -> None:
    path = CASES / f"{name}.csv"
    table = read(path, path.name)
    assert (table[column].type, table[column].format) == (type, format)
    uploaded = path.read_text()
    delimiter = ";" if ";" in uploaded.partition("\n")[0] else ","
    assert csv_rows(encode_table(table, "csv").decode()) == csv_rows(uploaded, delimiter)


def test_forms_are_learned_as_the_same_values_as_plain_texts(read: Read) -> None:
    days = [date(2020, 1, 1) + timedelta(days=37 * i % 1_000) for i in range(60)]
    amounts = [1234.5 * i - 20_000 for i in range(60)]
    plain = read(build_csv({"day": days, "amount": amounts}))
    values = plain.values("day"), plain.values("amount")
    for day_format, amount_format in (
        ("%d.%m.%y", '"${:,.2f}"'),
        ("%B %d. %Y", "{:+.1f}"),
        ("%m/%d/%Y", "{:.6e}"),
    ):
        columns = {
            "day": [day.strftime(day_format).replace(". ", " ") for day in days],
            "amount": [amount_format.format(amount) for amount in amounts],
        }
        table = read(build_csv(columns))
        assert table.issue("mixed_types") is None
        assert (table.values("day"), table.values("amount")) == values


def test_zero_dates_are_missing_and_named(read: Read) -> None:
    table = read(CASES / "zero.csv", "zero.csv")
    assert table["when"].type == "datetime"
    issue = table.issue("missing_value_markers")
    assert issue is not None
    assert issue["examples"] == ["when: 27 rows, first row 4"]


def test_dates_in_two_forms_are_all_read_and_the_forms_are_named(read: Read) -> None:
    table = read(CASES / "mixedfmt.csv", "mixedfmt.csv")
    assert table["when"].format == "%Y-%m-%d"
    assert None not in table.values("when")
    issue = table.issue("mixed_date_formats")
    assert issue is not None
    assert issue["examples"] == ["when: %Y-%m-%d, %d/%m/%Y"]


def test_dates_with_two_and_four_digits_of_the_year_are_read_together(read: Read) -> None:
    short = [f"{13 + i % 16}/10/14 06:{10 + i}" for i in range(40)]
    long = [f"{1 + i % 12}/11/2014 {6 + i % 3}:{10 + i}" for i in range(40)]
    table = read(build_column_csv(*short, *long))
    assert (table["a"].type, table.values("a").count(None)) == ("datetime", 0)
    assert table.issue("mixed_date_formats") is not None


def test_dates_that_a_spreadsheet_has_half_converted_are_read_in_one_order(read: Read) -> None:
    converted = [f"{1 + i % 12:02}-{1 + i % 11:02}-20{10 + i % 9}" for i in range(60)]
    left = [f"{1 + i % 12}/{13 + i % 16}/20{10 + i % 9}" for i in range(40)]
    table = read(build_column_csv(*converted, *left))
    issue = table.issue("mixed_date_formats")
    assert issue is not None
    assert issue["examples"] == ["a: %m-%d-%Y, %-m/%-d/%Y"]
    months = [int(text[:2]) for text in converted] + [int(text.split("/")[0]) for text in left]
    assert [value.month for value in table.values("a")] == months


def test_dates_are_read_if_the_first_ones_hardly_have_the_usual_form(read: Read) -> None:
    usual = [f"{1 + i % 12}/{13 + i % 16}/20{10 + i % 9}" for i in range(56)]
    other = [f"{1 + i % 12:02}-{1 + i % 11:02}-20{10 + i % 9}" for i in range(44)]
    texts = [*usual[:3], *other[:5], *usual[3:], *other[5:]]
    table = read(build_column_csv(*texts))
    assert (table["a"].type, table.values("a").count(None)) == ("datetime", 0)


def test_times_with_several_offsets_are_converted_to_the_most_common_one(read: Read) -> None:
    texts = [f"2016-04-{1 + i % 28:02}T11:{i % 60:02}:34 -1{i % 5 == 0:d}:00" for i in range(100)]
    table = read(build_column_csv(*texts))
    assert (table["a"].type, table["a"].format) == ("datetime", "%Y-%m-%dT%H:%M:%S -10:00")
    issue = table.issue("mixed_offsets")
    assert issue is not None
    assert issue["examples"] == ["a: -10:00, -11:00"]
    assert table.issue("mixed_date_formats") is None
    assert written(table)[:2] == ["2016-04-01T12:00:34 -10:00", texts[1]]


@pytest.mark.parametrize(
    ("zero", "other", "example"),
    [("Z", "+01:00", "a: +01:00, Z"), (" UTC", " +0100", "a: +0100, UTC")],
)
def test_times_in_utc_next_to_offsets_are_read(
    zero: str, other: str, example: str, read: Read
) -> None:
    days = [f"2024-04-{1 + i % 28:02}T11:{i % 60:02}:34" for i in range(100)]
    table = read(
        build_column_csv(*(day + (zero if i % 3 else other) for i, day in enumerate(days)))
    )
    assert (table["a"].type, table["a"].format) == ("datetime", f"%Y-%m-%dT%H:%M:%S{zero}")
    issue = table.issue("mixed_offsets")
    assert issue is not None
    assert issue["examples"] == [example]
    assert written(table)[:2] == [f"2024-04-01T10:00:34{zero}", days[1] + zero]


def test_times_with_several_offsets_can_be_converted_to_utc(read: Read) -> None:
    table = read(CASES / "mixedtz.csv", "mixedtz.csv")
    issue = table.issue("mixed_offsets")
    assert issue is not None
    assert issue["examples"] == ["when: +00:00, +03:00, -05:00"]
    columns = (ColumnOverride("when", type="datetime"),)
    converted = read(CASES / "mixedtz.csv", "mixedtz.csv", columns=columns)
    assert converted.preview("when")[1] == "2023-06-06 07:00:00+00:00"


def test_results_of_which_some_have_minutes_are_durations(read: Read) -> None:
    texts = [
        f"{27 + i * 0.31:.2f}" if i < 90 else f"{1 + i % 2}:{i % 60:02}.{i}" for i in range(99)
    ]
    table = read(build_column_csv(*texts))
    assert (table["a"].type, table["a"].format) == ("duration", "[m:]s.f")
    assert written(table) == texts
    assert table.issue("odd_values") is None


def test_numbers_with_a_decimal_comma_and_an_exponent_are_numbers(read: Read) -> None:
    texts = [*(str(15_000 + 150 * i) for i in range(60)), "3,00E+04", "1,5E+04"]
    table = read("a;n\n" + "".join(f"{t};{i % 7}\n" for i, t in enumerate(texts)))
    assert table["a"].type == "number"
    assert table.values("a")[58:] == [23_700, 23_850, 30_000, 15_000]
    assert written(table)[-2:] == ["30000", "15000"]


def test_many_midnights_among_dates_are_missing_and_named(read: Read) -> None:
    dates = [f"{1 + i % 28:02}-{1 + i % 12:02}-{1950 + i}" for i in range(60)]
    table = read(build_column_csv(*dates, *["0:00:00"] * 8))
    assert (table["a"].type, table.values("a").count(None)) == ("datetime", 8)
    assert table.issue("odd_values") is not None


def test_number_column_with_a_bad_cell_is_a_number_with_a_missing_value(read: Read) -> None:
    table = read(CASES / "onebadfloat.csv", "onebadfloat.csv")
    assert table["amount"].type == "number"
    assert table.values("amount").count(None) == 1
    issue = table.issue("missing_value_markers")
    assert issue is not None
    assert issue["examples"] == ["amount: 1 rows, first row 81"]


def test_odd_cells_of_a_column_are_missing_and_named_without_their_content(read: Read) -> None:
    values: list[object] = [f"${i},000" for i in range(1, 200)]
    values[99] = "ask Bob"
    table = read(build_csv({"a": [f'"{value}"' for value in values], "n": range(199)}))
    assert (table["a"].type, table["a"].format) == ("integer", "$#,##0")
    assert table.values("a")[98:101] == [99_000, None, 101_000]
    issue = table.issue("odd_values")
    assert issue is not None
    assert (issue["count"], issue["examples"]) == (1, ["a (aaa Aaa): row 100"])


def test_dates_with_too_many_odd_cells_stay_text_and_the_form_is_named(read: Read) -> None:
    values = [f"2024-01-{1 + i % 28:02}" if i % 5 else ("soon", "late")[i % 2] for i in range(100)]
    table = read(build_column_csv(*values))
    assert table["a"].type == "category"
    issue = table.issue("mixed_types")
    assert issue is not None
    assert (issue["count"], issue["examples"][0]) == (20, "a (%Y-%m-%d): row 1")


def test_words_for_missing_values_among_numbers_are_missing(read: Read) -> None:
    table = read(CASES / "missingwords.csv", "missingwords.csv")
    assert set(table.types.values()) == {"integer"}
    assert table.values("d")[:3] == [None, 47, None]


def test_hour_24_beside_hour_0_is_the_next_day_and_counted(read: Read) -> None:
    values = ["2024-01-01 24:00", "2024-01-01 00:00", "2024-01-01 13:00"] * 5
    table = read(build_column_csv(*values))
    assert table.preview("a")[:2] == ["2024-01-02 00:00", "2024-01-01 00:00"]
    issue = table.issue("changed_times")
    assert issue is not None
    assert (issue["count"], issue["examples"][:2]) == (5, ["a: row 1", "a: row 4"])


def test_zero_without_a_sign_is_read_though_the_sample_of_texts_has_none(read: Read) -> None:
    values = [f"{2 * i - 11_999:+}" if i % 5_003 else "0" for i in range(1, 12_000)]
    table = read(build_column_csv(*values))
    assert (table["a"].type, table["a"].format) == ("integer", "+0;-0;0")
    assert table.issue("odd_values") is None


def test_scaled_amounts_are_learned_as_their_full_value(read: Read) -> None:
    values = ["$5.07K", "$1.20M", "$3.00B", "$0.90K"] * 5
    table = read(build_column_csv(*values))
    assert (table["a"].type, table["a"].format) == ("number", "$0.00[K|M|B]")
    assert table.values("a")[:4] == [5_070, 1_200_000, 3_000_000_000, 900]
    assert table.preview("a")[:4] == values[:4]


def test_small_m_is_a_million_of_money_and_a_meter_beside_kilometers(read: Read) -> None:
    amounts = read(build_column_csv(*["£5.50m", "£90.25k", "£12.00m", "£0.75k"] * 5))
    assert amounts["a"].format == "£0.00[k|m]"
    assert amounts.values("a")[:2] == [5_500_000, 90_250]
    lengths = read(build_column_csv(*["5.5 m", "1.2 km", "7.5 m", "3.0 km"] * 5))
    assert lengths.values("a")[:2] == [5.5, 1_200]


def test_numbers_with_flags_are_numbers_and_the_flags_are_reported(read: Read) -> None:
    values = [f"{i * 1.7:.1f}{' p' if i % 9 == 0 else ''}" for i in range(1, 120)]
    table = read(build_column_csv(*values))
    assert table["a"].type == "number"
    issue = table.issue("odd_values")
    assert issue is not None
    assert issue["count"] == 13


def test_ambiguous_thousands_mark_is_reported_and_can_be_set(read: Read) -> None:
    data = (CASES / "eurthousandint.csv").read_text()
    issue = read(data).issue("ambiguous_number_format")
    assert issue is not None
    assert issue["examples"] == ["einwohner: #.##0, not 0.000"]
    columns = (ColumnOverride("einwohner", type="number", format="0.000"),)
    decimal = read(data, columns=columns)
    assert decimal.values("einwohner")[0] == float(data.split("\n")[1].partition(";")[0])


@pytest.mark.parametrize(
    ("name", "values", "format", "first"),
    [
        ("created_ts", [1_700_000_000 + 7_919 * i for i in range(40)], "%s", 1_700_000_000),
        ("epoch", [1_700_000_000_123 + 7_919 * i for i in range(40)], "%Q", 1_700_000_000_123),
        ("amount", [1_700_000_000 + 7_919 * i for i in range(40)], None, 1_700_000_000),
    ],
)
def test_epoch_times_are_recognized_by_name_and_values(
    name: str, values: list[int], format: str | None, first: int, read: Read
) -> None:
    table = read(build_parquet({name: values, "n": list(range(40))}))
    assert table[name].format == format
    assert table.preview(name)[0] == first
    assert pq.read_table(io.BytesIO(encode_table(table, "parquet")))[name].to_pylist() == values


def test_output_style_can_be_changed_without_reading_the_text_anew(read: Read) -> None:
    columns = (ColumnOverride("price", format="0.0"),)
    table = read(CASES / "usd.csv", "usd.csv", columns=columns)
    assert table.preview("price")[0] == 2496.2


@pytest.mark.parametrize(
    ("type", "format"),
    [("number", "abc"), ("datetime", "%H:%M"), ("time", "%Y"), ("duration", "h")],
)
def test_unknown_format_is_rejected(type: str, format: str, reject: Reject) -> None:
    data = build_column_csv("x", "y", "x", "y", "x")
    error = reject(data, columns=(ColumnOverride("a", type=type, format=format),))
    assert error.code == "format_unknown"


@pytest.mark.parametrize("name", ["types", "dec"])
def test_parquet_file_comes_back_with_its_schema_and_values(name: str, read: Read) -> None:
    path = CASES / f"{name}.parquet"
    table = read(path, path.name)
    assert pq.read_table(io.BytesIO(encode_table(table, "parquet"))).equals(pq.read_table(path))


N = 30
ARROW_COLUMNS = {
    "int8": pa.array([i % 7 - 3 for i in range(N)], pa.int8()),
    "uint16": pa.array([i % 9 for i in range(N)], pa.uint16()),
    "uint64": pa.array([2**62 + i % 5 for i in range(N)], pa.uint64()),
    "float32": pa.array([0.1 * (i % 8) for i in range(N)], pa.float32()),
    "decimal": pa.array([f"{i}.05" for i in range(N)]).cast(pa.decimal128(12, 2)),
    "date32": pa.array([19_000 + i for i in range(N)], pa.int32()).cast(pa.date32()),
    "date64": pa.array([86_400_000 * i for i in range(N)]).cast(pa.date64()),
    "time32": pa.array([1_000 * i for i in range(N)], pa.int32()).cast(pa.time32("s")),
    "time64": pa.array([1_000_000 * i for i in range(N)]).cast(pa.time64("ns")),
    "timestamp_s": pa.array([10**9 + i for i in range(N)]).cast(pa.timestamp("s")),
    "timestamp_ns": pa.array([10**18 + 1_000 * i for i in range(N)]).cast(pa.timestamp("ns")),
    "zoned": pa.array([10**15 + i for i in range(N)]).cast(pa.timestamp("us", "Europe/Berlin")),
    "duration": pa.array([3_600 * i for i in range(N)]).cast(pa.duration("ms")),
    "dictionary": pa.array([["a", "b"][i % 2] for i in range(N)]).dictionary_encode(),
    "large_string": pa.array([["a", "b"][i % 2] for i in range(N)], pa.large_string()),
    "bool": pa.array([bool(i % 3) for i in range(N)]),
    "id": pa.array(range(N), pa.int32()),
}


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_every_arrow_type_comes_back_as_it_was_uploaded(kind: str, read: Read) -> None:
    data = build_parquet(ARROW_COLUMNS) if kind == "parquet" else build_arrow(ARROW_COLUMNS)
    table = read(data, "a.bin")
    encoded = encode_table(table, kind)
    if kind == "parquet":
        result, uploaded = pq.read_table(io.BytesIO(encoded)), pq.read_table(io.BytesIO(data))
    else:
        result, uploaded = pa.ipc.open_stream(encoded).read_all(), pa.table(ARROW_COLUMNS)
    assert result.schema.equals(uploaded.schema)
    for name in uploaded.column_names:
        assert result[name].to_pylist() == uploaded[name].to_pylist(), name


@pytest.mark.parametrize(
    "values",
    [
        [str(i / 12) for i in range(400, 2_600, 37)],  # 217.08333333333334
        [str(8.28 + i / 1000)[:6].rstrip("0") for i in range(60)] + ["0.139750000000001"],
        [f"{i / 4:.2f}" for i in range(60)] + ["0.125"],
        [str(i / 4).removesuffix(".0") for i in range(60)] + ["0.0625"],
    ],
    ids=["floats of Python", "decimals of R", "one more decimal", "without zeros"],
)
def test_decimals_of_each_number_come_back(values: list[str], read: Read) -> None:
    table = read(build_column_csv(*values))
    assert table["a"].type == "number"
    assert [row[0] for row in csv_rows(encode_table(table, "csv").decode())][1:] == values


def test_as_many_numbers_as_possible_keep_their_decimals(read: Read) -> None:
    values = [f"{i / 4:.2f}" for i in range(60)] + ["0.125"]
    table = read(build_column_csv(*values, "7"))
    assert table["a"].format == "0.00#"
    shown = [row[0] for row in csv_rows(encode_table(table, "csv").decode())]
    assert shown[1:] == [*values, "7.00"]


def test_digits_that_a_float_does_not_distinguish_are_not_written(read: Read) -> None:
    table = read(build_column_csv("39.100000000000001", *(f"{i / 10 + 1}" for i in range(60))))
    shown = csv_rows(encode_table(table, "csv").decode())
    assert [row[0] for row in shown[1:3]] == ["39.1", "1.0"]


def test_few_numbers_with_exponents_are_numbers(read: Read) -> None:
    rows = [f"{i * 37 % 1000}.25" for i in range(20_000)]
    rows[11_111], rows[13_333], rows[17_777] = "4e+06", "-7e-04", "1e999"
    table = read(build_column_csv(*rows))
    values = table.values("a")
    assert (values[11_111], values[13_333], values[17_777]) == (4e6, -7e-4, None)
    assert csv_rows(encode_table(table, "csv").decode())[13_334][0] == "-0.0007"
    assert table.issue("non_finite") is not None


def test_a_damaged_currency_sign_is_part_of_the_form(read: Read) -> None:
    values = [f"? {i * 37 % 900 * 11:,}" for i in range(1, 60)]
    table = read(build_column_csv(*(f'"{value}"' for value in values)))
    assert (table["a"].type, table["a"].format) == ("integer", "? #,##0")
    assert [row[0] for row in csv_rows(encode_table(table, "csv").decode())][1:] == values


@pytest.mark.parametrize(
    "values",
    [
        ["0.1", "1", "2.30000000004", "0.30000000000000004", "7", "12.5", "0"] * 9,
        [f".{i:03}" if i else "0" for i in range(60)],
        [f"{i / 4:.2f}" if i % 5 else "0" for i in range(60)],
    ],
    ids=["floats of JavaScript", "zero among fractions", "zero among prices"],
)
def test_whole_numbers_among_decimals_come_back(values: list[str], read: Read) -> None:
    table = read(build_column_csv(*values))
    assert table["a"].type == "number"
    assert written(table) == values
    assert pattern_of(number_form(table["a"].format, None)) == table["a"].format


@pytest.mark.parametrize("first", [10**18, 2**63 - 99, 2**63 + 5, 2**64 - 99])
def test_integers_of_many_digits_keep_every_digit(first: int, read: Read) -> None:
    numbers = [first + i % 40 for i in range(200)]
    table = read(build_column_csv(*numbers))
    assert written(table) == [str(number) for number in numbers]
    rows = [{"a": number, "n": i % 7} for i, number in enumerate(numbers)]
    assert read(json.dumps(rows), "a.json").preview("a") == numbers


@pytest.mark.parametrize("marked", [3, 40, 200])
def test_commas_before_three_digits_are_thousands_marks_where_others_lack_them(
    marked: int, read: Read
) -> None:
    numbers = [1_100 - 400 * (i % 3) + i * 37 % 2_000 for i in range(300)]
    texts = [f'"{n:,}"' if i < marked else str(n) for i, n in enumerate(numbers)]
    table = read(build_column_csv(*texts))
    assert (table["a"].type, table["a"].format) == ("integer", "#,##0" if marked > 100 else None)
    assert table.values("a") == numbers


@pytest.mark.parametrize("delimiter", ["\t", ";", "|"])
def test_commas_before_three_digits_are_thousands_marks_beside_shorter_numbers(
    delimiter: str, read: Read
) -> None:
    numbers = [200 + i * 370 % 8_800 for i in range(300)]
    rows = [[f"{n:,}", f"${n:,}", f"{n:,} km", str(i % 7)] for i, n in enumerate(numbers)]
    table = read(build_delimited(["plain", "dollar", "unit", "n"], rows, delimiter))
    assert [table[name].format for name in ("plain", "dollar", "unit")] == [
        "#,##0",
        "$#,##0",
        "#,##0 km",
    ]
    assert table.values("plain") == numbers
    assert table.preview("unit")[:3] == [row[2] for row in rows[:3]]


@pytest.mark.parametrize("shown", ["16,224.50", "71,482,000"])
def test_one_column_shows_that_the_commas_of_a_file_are_thousands_marks(
    shown: str, read: Read
) -> None:
    rows = [[f"{1_000 + i * 37:,}", str(2_000 + i * 41)] for i in range(60)]
    rows = [[*row, shown if i % 2 else "943"] for i, row in enumerate(rows)]
    rows[7][1] = "1,178"
    table = read(build_delimited(["plain", "few", "other"], rows, ";"))
    assert table.values("plain")[:2] == [1_000, 1_037]
    assert table.values("few")[6:8] == [2_246, 1_178]


def test_a_comma_before_other_counts_of_digits_is_a_decimal_comma(read: Read) -> None:
    rows = [["4,385" if i % 9 else "4,38", str(100 + i)] for i in range(60)]
    table = read(build_delimited(["a", "n"], rows, ";"))
    assert table.values("a")[:2] == [4.38, 4.385]


@pytest.mark.parametrize(
    ("options", "first"),
    [
        (ReadOptions(decimal=","), 4.385),
        (ReadOptions(thousands="."), 4.385),
        (ReadOptions(decimal="."), 4_385),
        (ReadOptions(thousands=","), 4_385),
    ],
)
def test_the_hint_of_an_ambiguous_number_format_names_options_that_decide_it(
    options: ReadOptions, first: float, read: Read
) -> None:
    rows = [["675" if i % 2 else "4,385", str(i % 5), "71,482,000"] for i in range(60)]
    table = read(build_delimited(["a", "n", "big"], rows, ";"), options=options)
    assert table.values("a")[0] == first
    data = build_delimited(["a", "n"], [row[:2] for row in rows], ";")
    issue = read(data).issue("ambiguous_number_format")
    assert issue is not None
    assert issue["examples"] == ["a: #,##0, not 0,###"]
    assert "`read.thousands`" in issue["hint"]
    assert "`read.decimal`" in issue["hint"]


@pytest.mark.parametrize(
    ("amount", "delimiter", "first", "other"),
    [
        ("${}.970", ",", 14.97, None),
        ("{}.970 €", ",", 14.97, None),
        ("{},970 €", ";", 14.97, "#,##0 €"),
        ("{}.970 €", ";", 14_970, "0.000 €"),
        ("RWF {},970", ";", 14_970, "RWF 0,000"),
        ("KES {},970", ";", 14_970, "KES 0,000"),
    ],
)
def test_amounts_of_three_digits_after_one_mark_are_not_read_as_thousands_silently(
    amount: str, delimiter: str, first: float, other: str | None, read: Read
) -> None:
    rows = [[amount.format(14 + i % 60), str(i % 5)] for i in range(60)]
    table = read(build_delimited(["a", "n"], rows, delimiter))
    assert table.values("a")[0] == first
    issue = table.issue("ambiguous_number_format")
    assert (issue and issue["examples"]) == (other and [f"a: {table['a'].format}, not {other}"])


def test_points_in_the_longer_amounts_only_are_thousands_marks_that_are_reported(
    read: Read,
) -> None:
    rows = [["Rp 950" if i % 3 == 1 else f"Rp {15 + i}.298", str(i % 5)] for i in range(60)]
    data = build_csv({"a": [row[0] for row in rows], "n": [row[1] for row in rows]})
    table = read(data)
    assert table.values("a")[:2] == [15_298, 950]
    issue = table.issue("ambiguous_number_format")
    assert issue is not None
    assert issue["examples"] == ["a: Rp #.##0, not Rp 0.###"]
    stated = read(data, options=ReadOptions(decimal="."))
    assert stated.values("a")[:2] == [15.298, 950]


def test_a_zero_without_decimals_does_not_make_thousands_of_decimals(read: Read) -> None:
    values = ["$0" if i % 20 == 1 else f"${14 + i}.970" for i in range(60)]
    table = read(build_csv({"a": values, "n": [i % 7 for i in range(60)]}))
    assert table.values("a")[:2] == [14.97, 0]


def test_the_field_with_few_different_numbers_is_the_year(read: Read) -> None:
    days = [date(2013, 1, 1) + timedelta(days=11 * i) for i in range(300)]
    table = read(build_column_csv(*(day.strftime("%y/%m/%d") for day in days)))
    assert table["a"].format == "%y/%m/%d"
    assert [value.date() for value in table.values("a")] == days


def test_numbers_in_quotation_marks_are_numbers_where_json_has_no_others(read: Read) -> None:
    rows = [{"n": str(i * 37 % 7), "x": f"{i / 4:.2f}", "id": str(i)} for i in range(60)]
    table = read(json.dumps(rows), "a.json")
    assert table.types == {"n": "integer", "x": "number", "id": "id"}
    assert [table.preview(name) for name in "nx"] == [[row[name] for row in rows] for name in "nx"]
    assert table.values("id")[:2] == ["0", "1"]
    mixed = [{**row, "y": i} for i, row in enumerate(rows)]
    assert read(json.dumps(mixed), "a.json")["n"].type == "category"


@pytest.mark.parametrize("mark", [":", "/", "@"])
def test_an_array_with_the_marks_of_the_next_one_is_a_row(mark: str, read: Read) -> None:
    rows = [[f"Place {i}", f"{('country', 'territory')[i % 2]}{mark}A{i}"] for i in range(30)]
    table = read(json.dumps(rows), "a.json")
    assert table.values("column_1") == [name for name, _ in rows]
    assert any("first array is a row" in note for note in table.summary.notes)
    named = read(json.dumps([["name", "code"], *rows]), "a.json")
    assert list(named.types) == ["name", "code"]


def test_numbers_of_a_fixed_width_are_numbers(read: Read) -> None:
    texts = [f"{7.919 * n % 300:08.3f}" for n in range(200)]
    table = read(build_column_csv(*texts))
    assert (table["a"].type, table["a"].format) == ("number", "0000.000")
    assert written(table) == texts


def test_coordinates_with_leading_zeros_and_a_late_positive_sign_are_numbers(read: Read) -> None:
    texts = [f"-{7 * n % 180:03}.{n + 1:04}" for n in range(5_000)]
    texts[4_321] = "+179.6130"
    table = read(build_column_csv(*texts))
    column = table.summary.schema["a"]
    assert (column.type, column.format, column.nullable) == ("number", "+000.0000", False)
    assert written(table) == texts


def test_codes_of_two_digits_with_a_point_are_no_coordinates(read: Read) -> None:
    texts = [f"{n % 60 + 1:02}.{n % 30 + 10}" for n in range(300)]
    assert read(build_column_csv(*texts)).summary.schema["a"].type == "category"


def test_signed_numbers_of_many_decimals_are_not_phone_numbers(read: Read) -> None:
    texts = [f"+{30 + n / 7:.7f}" for n in range(300)]
    assert read(build_column_csv(*texts)).summary.schema["a"].type == "number"


def test_dates_in_two_forms_have_the_same_order(read: Read) -> None:
    texts = [f"{i % 12 + 1}/{i % 28 + 1}/2024" for i in range(60)]
    texts += [f"{i % 12 + 1:02}-{i % 9 + 1:02}-2023" for i in range(40)]
    values = read(build_column_csv(*texts)).values("a")
    assert [(value.month, value.day) for value in values[60:]] == [
        (i % 12 + 1, i % 9 + 1) for i in range(40)
    ]


def test_compact_dates_before_1900_are_dates_if_there_are_many(read: Read) -> None:
    texts = [f"{1870 + i}{i % 12 + 1:02}{i % 28 + 1:02}" for i in range(90)]
    table = read(build_column_csv(*texts))
    assert (table["a"].type, table["a"].format) == ("datetime", "%Y%m%d")


def test_blanks_around_dates_are_left_out(read: Read) -> None:
    texts = [f"{'' if i % 3 else ' '}March {i % 28 + 1}, {2000 + i % 20}" for i in range(90)]
    table = read(build_csv({"a": [f'"{text}"' for text in texts], "n": range(90)}))
    assert (table["a"].type, table["a"].nullable) == ("datetime", False)


def test_many_dates_of_the_first_millennium_are_dates(read: Read) -> None:
    texts = [f"{20 + 4 * i:04}-{i % 12 + 1:02}-{i % 28 + 1:02}" for i in range(60)]
    assert read(build_column_csv(*texts))["a"].type == "datetime"


def test_a_numbered_word_in_all_rows_is_no_number(read: Read) -> None:
    assert read(build_column_csv(*["1. Male"] * 40))["a"].type == "category"


def test_pressures_with_one_decimal_are_no_months(read: Read) -> None:
    pressures = [f"{1000 + k / 10:g}" for k in range(3, 400, 7)]
    for texts in (pressures, [text for text in pressures if "." in text]):
        assert read(build_column_csv(*texts))["a"].type == "number"


@pytest.mark.parametrize(
    ("texts", "format"),
    [
        (["2013", "2013-07", "2013-07-14"], "%Y-%m-%d|%Y-%m|%Y"),
        (["2013-??-??", "2013-07-??", "2014-12-03"], "%Y-%m-%d|%Y-%m-??|%Y-??-??"),
        (["2013-00-00", "2013-07-00", "2014-12-03"], "%Y-%m-%d|%Y-%m-00|%Y-00-00"),
        (["12/??/1901", "03/25/1902"], "%m/%d/%Y|%m/??/%Y"),
        (["14 July 2013", "July 2013", "2011"], "%d %B %Y|%B %Y|%Y"),
    ],
)
def test_dates_without_a_day_or_a_month_come_back(
    texts: list[str], format: str, read: Read
) -> None:
    table = read(build_column_csv(*texts * 9))
    assert (table["a"].type, table["a"].format) == ("datetime", format)
    assert written(table) == texts * 9


def test_a_first_day_among_dates_without_a_day_is_named(read: Read) -> None:
    table = read(build_column_csv(*["2013-07", "2013-07-14", "2013-09-01"] * 9))
    issue = table.issue("changed_times")
    assert issue is not None
    assert (issue["count"], written(table)[2]) == (9, "2013-09")


def test_seasons_and_years_are_not_dates_without_a_day(read: Read) -> None:
    assert read(build_column_csv(*["2011", "2011-12", "2012-13"] * 9))["a"].type != "datetime"


def test_counts_and_percentages_in_one_column_are_numbers(read: Read) -> None:
    texts = [f"{i * 7}" if i % 2 else f"{i * 1.1:.1f}%" for i in range(1, 60)]
    table = read(build_column_csv(*texts))
    assert (table["a"].type, table["a"].format) == ("number", "0.0[%|]")
    assert table.values("a")[:2] == pytest.approx([7, 0.022])
    assert written(table) == texts


def test_times_of_forms_have_the_offset_of_their_zone(read: Read) -> None:
    texts = [f"2021/08/{i % 28 + 1:02} {i % 12 + 1}:25:49 PM GMT-3" for i in range(40)]
    table = read(build_column_csv(*texts))
    assert table["a"].format == "%Y/%m/%d %-I:%M:%S %p GMT-3"
    assert written(table) == texts


def test_times_of_which_some_lack_a_fraction_are_times(read: Read) -> None:
    texts = [f"2024-05-27 02:28:{i % 60:02}{'.759000' if i % 9 else ''}+00:00" for i in range(90)]
    table = read(build_column_csv(*texts))
    assert (table["a"].type, table["a"].nullable) == ("datetime", False)


@pytest.mark.parametrize("odd", [[">54000", "<0.5"], ["pos", "dim", "unclear"]])
def test_a_few_texts_among_many_numbers_are_missing_and_named(odd: list[str], read: Read) -> None:
    table = read(build_column_csv(*[f"{i * 37 % 53}.{i % 2}" for i in range(180)], *odd * 4))
    assert (table["a"].type, table["a"].nullable) == ("number", True)
    issue = table.issue("odd_values")
    assert issue is not None
    assert issue["count"] == 4 * len(odd)


def test_codes_among_numbers_are_not_missing(read: Read) -> None:
    table = read(build_column_csv(*[str(i * 37 % 53) for i in range(180)], *["12A", "13B"] * 4))
    assert table["a"].type not in ("integer", "number")


def test_a_few_thousands_with_a_mark_among_many_numbers_are_numbers(read: Read) -> None:
    texts = [f"{i * 37 % 1_000}.{i * 7 % 90 + 10}" for i in range(2_000)]
    texts[391:393] = ["1,543.62", "1,638.04"]
    table = read("a\n" + "".join(f'"{text}"\n' for text in texts))
    assert (table["a"].format, table["a"].nullable) == ("#,##0.00", False)
    assert written(table) == texts


@pytest.mark.parametrize("low", [0.01, 1.02, 40.0])
def test_a_few_numbers_with_more_decimals_keep_them(low: float, read: Read) -> None:
    usual = [f"{i * 7.31 + 105:.2f}" for i in range(300)]
    finer = [f"{low + i * 0.001357:.6f}" for i in range(1, 31)]
    table = read(build_column_csv(*usual, *finer))
    assert table.values("a") == [float(text) for text in [*usual, *finer]]
    assert table["a"].decimals == 6


@pytest.mark.parametrize("zero", ["\u06f0", "\u0660", "\u0966", "\uff10"])
def test_dates_and_times_have_the_digits_of_their_script(zero: str, read: Read) -> None:
    digits = {ord("0") + i: chr(ord(zero) + i) for i in range(10)}
    dates = [f"2024-{1 + i % 12:02}-{1 + i % 28:02}".translate(digits) for i in range(60)]
    times = [f"{i % 24:02}:{i % 60:02}".translate(digits) for i in range(60)]
    amounts = [f"{10 + i * 137}".translate(digits) for i in range(60)]
    table = read(build_csv({"day": dates, "at": times, "amount": amounts}))
    assert table.types == {"day": "datetime", "at": "time", "amount": "integer"}
    for name, texts in (("day", dates), ("at", times), ("amount", amounts)):
        assert table.preview(name) == texts


def test_times_with_and_without_a_half_of_the_day_are_read_together(read: Read) -> None:
    full = [f"06/{1 + i % 28:02}/2022 {i % 24}:00:00" for i in range(40)]
    short = [f"09/{1 + i % 28:02}/22 {1 + i % 12}:00:00 {'AP'[i % 2]}M" for i in range(60)]
    table = read(build_column_csv(*full, *short))
    assert (table["a"].type, table.values("a").count(None)) == ("datetime", 0)
    assert table.issue("mixed_date_formats") is not None
    assert {value.month for value in table.values("a")} == {6, 9}
