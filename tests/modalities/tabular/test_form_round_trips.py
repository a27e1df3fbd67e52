"""Random tables come back as they were uploaded, and every change to them is an issue."""

import csv
import io
import random
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.datasets.source import SourceFile
from core.limits import Limits
from modalities.tabular import encode
from modalities.tabular.formatting import format_values
from modalities.tabular.schema import Column
from modalities.tabular.typed_parquet import typed_batches
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import ColumnOverride, SchemaOverrides
from modalities.tabular.upload.summary import TableSummary
from tests.modalities.tabular.conftest import Read, Reject
from tests.modalities.tabular.factories import build_csv, build_parquet
from tests.modalities.tabular.test_form_cases import ARROW_COLUMNS, encode_table
from tests.modalities.tabular.test_sampled_forms import generate_rows

ROWS = 120
FORMS = (
    Column("", "number", decimals=2, format="$#,##0.00"),
    Column("", "number", decimals=2, format="$#,##0.00;($#,##0.00)"),
    Column("", "number", decimals=2, format="#.##0,00 €"),
    Column("", "number", decimals=1, format="0.0%"),
    Column("", "number", format="0.00e+00"),
    Column("", "number", format="@@@"),
    Column("", "number", format="@@@@@@@\u0660"),
    Column("", "number", format=f"{'@' * 17},# €"),
    Column("", "number", format="$0.00[K|M|B]"),
    Column("", "number", format="0.0[ mn| bn]"),
    Column("", "integer", decimals=0, format="#,##0"),
    Column("", "integer", decimals=0, format="+0;-0;0"),
    Column("", "integer", decimals=0, format="0 kg"),
    Column("", "integer", decimals=0, format="#,##0 sq ft"),
    Column("", "integer", decimals=0, format="0 day[s]"),
    Column("", "datetime", format="%-m/%-d/%Y"),
    Column("", "datetime", format="%d.%m.%Y %H:%M"),
    Column("", "datetime", format="%B %-d, %Y"),
    Column("", "datetime", format="%Y%m%d"),
    Column("", "datetime", format="%Y-%m"),
    Column("", "datetime", format="%YQ%q"),
    Column("", "datetime", format="%Y-%m-%dT%H:%M:%S+01:00"),
    Column("", "datetime", format="[de]%-d. %B %Y"),
    Column("", "datetime", format="[ru]%-d %B %Y"),
    Column("", "datetime", format="%B %-d%o, %Y"),
    Column("", "datetime", format="%Y\u5e74%-m\u6708%-d\u65e5"),
    Column("", "datetime", format="%b %_d %H:%M:%S"),
    Column("", "time", format="%-I:%M %p"),
    Column("", "time", format="%-I:%M %-P"),
    Column("", "duration", format="[h]:mm:ss"),
    Column("", "duration", format="[h:]m:ss"),
    Column("", "duration", format="d days hh:mm:ss"),
    Column("", "duration", format="[h]h [mm]m"),
    Column("", "duration", format="[h]h [m]m?"),
    Column("", "duration", format="PT"),
)


def random_texts(column: Column, rng: random.Random) -> list[str]:
    """Return texts in the form of a column, all of them different or nearly so."""
    if column.type in ("number", "integer"):
        exponents = (
            (6, 10)
            if "mn" in str(column.format)
            else (3.1, 11)
            if "[" in str(column.format)
            else (1, 6)
        )
        sign = 1 if {"[", "k", "q"} & set(str(column.format)) else -1
        numbers = [rng.choice([1, sign]) * 10 ** rng.uniform(*exponents) for _ in range(ROWS)]
        values = pa.array(numbers)
        values = values.cast(pa.int64(), safe=False) if column.type == "integer" else values
    elif column.type == "datetime":
        days = [rng.randrange(3_000, 20_000) for _ in range(ROWS)]
        seconds = pa.array([day * 86_400 + rng.randrange(86_400) for day in days])
        values = seconds.cast(pa.timestamp("s")).cast(pa.timestamp("us"))
    else:
        most = 86_400 if column.type == "time" else 400_000
        micros = pa.array([rng.randrange(60, most) * 1_000_000 for _ in range(ROWS)])
        values = micros.cast(pa.time64("us") if column.type == "time" else pa.duration("us"))
    return [str(text) for text in format_values(values, column).to_pylist()]


def read_texts(folder: Path, columns: dict[str, list[str]]) -> tuple[TableSummary, Path]:
    path = folder / "upload.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([columns, *zip(*columns.values(), strict=True)])
    summary = read_table([SourceFile(path, "a.csv")], SchemaOverrides(), Limits(), folder)
    return summary, folder / "rows.parquet"


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.permutations(FORMS),
    st.sampled_from(["", "NA", "-", "unknown"]),
    st.integers(0, 2**32),
)
def test_a_table_of_all_forms_in_random_order_comes_back_as_it_was_uploaded(
    tmp_path: Path, forms: list[Column], missing: str, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - test data
    columns = {f"c{i}": random_texts(form, rng) for i, form in enumerate(forms)}
    for texts in columns.values():
        texts[7] = texts[70] = missing
    summary, path = read_texts(tmp_path, columns)
    assert [column.type for column in summary.schema.columns] == [form.type for form in forms]
    batches = typed_batches(path, summary.schema.columns)
    text = b"".join(encode.encode("csv", batches, list(summary.schema.columns), {})).decode()
    names, *rows = csv.reader(io.StringIO(text))
    assert dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) == columns


def test_samples_have_the_arrow_types_of_the_upload(read: Read) -> None:
    table = read(build_parquet(ARROW_COLUMNS), "a.parquet")
    columns = list(table.summary.schema.columns)
    batch = generate_rows(table, 200)
    sampled = [column for column in columns if column.name in batch.schema.names]
    encoded = b"".join(encode.encode("parquet", iter([batch]), sampled, {}))
    schema = pa.table(ARROW_COLUMNS).schema
    names = [column.name for column in sampled]
    assert len(names) >= 16
    result = pq.read_table(io.BytesIO(encoded)).schema
    uploaded = pq.read_table(io.BytesIO(build_parquet(ARROW_COLUMNS))).schema
    assert [result.field(name).type for name in names] == [
        uploaded.field(name).type for name in names
    ]
    assert schema.names == [column.name for column in columns]


Cells = Callable[[random.Random, int], str]
PLAIN: dict[str, Cells] = {
    "integers": lambda rng, _: str(rng.randrange(50, 90)),
    "amounts": lambda rng, _: f"${rng.uniform(1_000, 9_000):,.2f}",
    "dates": lambda rng, i: (date(2020, 1, 1) + timedelta(rng.randrange(900))).isoformat(),
    "times": lambda rng, _: f"{rng.randrange(24):02}:{rng.randrange(60):02}",
    "words": lambda rng, _: rng.choice(["red", "green", "blue"]),
}
ODD = (
    "NA",
    "-",
    "?",
    "",
    "inf",
    "NaN",
    "ask Bob",
    "2024-02-31",
    "0000-00-00",
    "\\N",
    "<NA>",
    "12;5",
)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.sampled_from(sorted(PLAIN)), min_size=2, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 399), st.sampled_from(ODD)), max_size=12),
    st.integers(0, 2**32),
)
def test_every_cell_that_becomes_missing_is_counted_in_an_issue(
    tmp_path: Path, kinds: list[str], odd: list[tuple[int, int, str]], seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - test data
    columns = {f"c{i}": [PLAIN[kind](rng, n) for n in range(400)] for i, kind in enumerate(kinds)}
    for index, row, text in odd:
        columns[f"c{index % len(kinds)}"][row] = text
    summary, path = read_texts(tmp_path, columns)
    assert summary.rows == 400
    assert summary.schema.names == list(columns)
    stored = pa.Table.from_batches(list(typed_batches(path, summary.schema.columns)))
    assert stored.column_names == list(columns)
    empty = sum(texts.count("") for texts in columns.values())
    lost = sum(column.null_count for column in stored.columns) - empty
    assert lost == count_lost_cells(summary)
    assert all(issue.hint for issue in summary.issues)


def count_lost_cells(summary: TableSummary) -> int:
    issues: dict[str, Any] = {issue.code: issue for issue in summary.issues}
    codes = ("odd_values", "non_finite", "missing_words")
    lost = sum(issues[code].count for code in codes if code in issues)
    if "missing_value_markers" in issues:
        for example in issues["missing_value_markers"].examples:
            match = re.search(r": ([\d,]+) rows", example)
            assert match is not None
            lost += int(match[1].replace(",", ""))
    return lost


def test_excluded_columns_and_left_out_rows_are_named(read: Read) -> None:
    prose = [f"This is the long comment number {i} of a customer about things." for i in range(60)]
    data = build_csv({"comment": prose, "n": [i % 7 for i in range(60)]})
    table = read("# made by a tool\n" + data + ",\n,\n")
    assert table["comment"].exclude
    named = {issue.code: issue for issue in table.summary.issues}
    assert named["free_text"].examples == ("comment",)
    assert named["empty_rows"].count == 2
    assert table.summary.rows == 60


@pytest.mark.parametrize("word", ["N/A", "-", "unknown", "\\N"])
def test_words_for_missing_values_come_back_in_csv(word: str, read: Read) -> None:
    values = [word if i % 4 == 0 else 10 * i for i in range(40)]
    text = build_csv({"a": values, "n": [i % 7 for i in range(40)]})
    table = read(text)
    assert table["a"].missing == word
    assert table.values("a").count(None) == 10
    assert encode_table(table, "csv").decode() == text


def test_empty_cells_stay_empty_if_there_are_more_of_them_than_words(read: Read) -> None:
    values = ["" if i % 4 == 0 else "NA" if i == 1 else i for i in range(40)]
    table = read(build_csv({"a": values, "n": [i % 7 for i in range(40)]}))
    assert table["a"].missing is None


def test_nanoseconds_of_a_parquet_file_are_dropped_and_counted(read: Read) -> None:
    times = pa.array([10**18 + 1_000 * i + i % 2 for i in range(30)]).cast(pa.timestamp("ns"))
    table = read(build_parquet({"at": times, "n": list(range(30))}), "a.parquet")
    issue = table.issue("dropped_nanoseconds")
    assert issue is not None
    assert (issue["count"], issue["examples"]) == (15, ["at: 15 rows"])


def test_nanoseconds_of_texts_are_dropped_and_counted(read: Read) -> None:
    texts = [f"2024-01-01T10:11:12.{123_456_000 + i % 2:09}" for i in range(30)]
    table = read(build_csv({"at": texts, "n": list(range(30))}))
    issue = table.issue("changed_times")
    assert issue is not None
    assert (issue["count"], issue["examples"][0]) == (15, "at: row 2")


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["3 1/2", "1/4", "5 3/4"], "a (9 9/9): categories"),
        (["5'11", "6'2", "5'8"], "a (9'99): categories"),
        (["5 ft 11 in", "6 ft 2 in", "5 ft 8 in"], "a (9 aa 99 aa): categories"),
        (["18-24", "18-34", "5-20"], "a (99-99): categories"),
        ([">100", "<5", "20"], "a (>999): categories"),
        (["4/5", "3/5", "1/5"], "a (9/9): categories"),
        (["3-1", "2-2", "0-4"], "a (9-9): categories"),
        (["12 kg", "30 lb", "7 kg"], "a (99 aa): categories"),
        (
            [f"{i}°{59 - i}'N" for i in range(10, 50)],
            "a (99°99'A): values of the same sizes",
        ),
        (
            [f'"({i}.5, {i + 3}.25)"' for i in range(10, 50)],
            "a ((99.9, 99.99)): values of the same sizes",
        ),
    ],
)
def test_numbers_in_other_notations_are_named(texts: list[str], shown: str, read: Read) -> None:
    rows = [texts[i % len(texts)] for i in range(40)]
    table = read(build_csv({"a": rows, "n": [i % 7 for i in range(40)]}))
    issue = table.issue("unread_numbers")
    assert issue is not None
    assert issue["examples"] == [shown]


@pytest.mark.parametrize(
    "texts",
    [
        ["1.2.3", "1.10.0", "2.0.1"],
        ["A12", "B7", "C1"],
        ["02139", "00501", "10001"],
        ["I", "II", "IV"],
    ],
)
def test_codes_are_not_reported_as_numbers(texts: list[str], read: Read) -> None:
    rows = [texts[i % len(texts)] for i in range(40)]
    table = read(build_csv({"a": rows, "n": [i % 7 for i in range(40)]}))
    assert table.issue("unread_numbers") is None


@pytest.mark.parametrize(
    "order",
    [
        "S|M|L|XL",
        "Strongly disagree|Disagree|Neutral|Agree|Strongly agree",
        "1st|2nd|3rd|10th",
        "<18|18-24|25-34|35-44|45+",
        "low|medium|high",
        "I|II|IV|IX",
        "Primary|Secondary|Bachelor|Master|PhD",
        "Mon|Tue|Wed|Sun",
    ],
)
def test_categories_with_a_known_order_have_it_in_the_schema(order: str, read: Read) -> None:
    values = order.split("|")
    rows = [values[7 * i % len(values)] for i in range(1, 61)]
    text = build_csv({"a": rows, "n": [i % 7 for i in range(60)]})
    table = read(text)
    assert (table["a"].type, table["a"].format) == ("category", order)
    assert encode_table(table, "csv").decode() == text


@pytest.mark.parametrize(
    "values", [["red", "blue", "green"], ["S", "M", "F"], ["3-1", "2-2", "0-4"]]
)
def test_other_categories_have_no_order(values: list[str], read: Read) -> None:
    rows = [values[i % 3] for i in range(60)]
    assert read(build_csv({"a": rows, "n": [i % 7 for i in range(60)]}))["a"].format is None


def test_the_order_of_a_category_can_be_set_and_must_have_all_values(
    read: Read, reject: Reject
) -> None:
    rows = [["red", "blue", "green"][i % 3] for i in range(60)]
    text = build_csv({"a": rows, "n": [i % 7 for i in range(60)]})
    columns = (ColumnOverride("a", format="green|red|blue"),)
    assert read(text, columns=columns)["a"].order == ["green", "red", "blue"]
    error = reject(text, columns=(ColumnOverride("a", format="green|red"),))
    assert error.code == "format_unknown"
    assert error.field_errors[0].allowed == ("blue",)
