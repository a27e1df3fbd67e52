"""Rows as text: whatever a value holds, a reader gets it back."""

import csv
import io

import pyarrow as pa
import pytest

from core.datasets.tabular import Column, writing


def written(column: Column, values: pa.Array, *others: Column) -> str:
    batch = pa.RecordBatch.from_arrays(
        [values, *(pa.nulls(len(values), pa.string()) for _ in others)],
        names=[column.name, *(other.name for other in others)],
    )
    return b"".join(writing.encode_csv(iter([batch]), [column, *others])).decode()


WORDS = ["plain", "a, b", 'say "no"', "two\nlines", " blank before", "", "Zürich", "a;b"]


def test_every_text_comes_back_from_csv_and_only_those_that_need_it_are_quoted() -> None:
    text = written(Column("word, or so", "category"), pa.array(WORDS), Column("b", "category"))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["word, or so", "b"]
    assert [row[0] for row in rows[1:]] == WORDS
    assert text.splitlines()[1] == "plain,"
    assert "Zürich,\n" in text
    assert '"",\n' in text  # an empty text is no missing value


def test_a_missing_value_alone_on_its_line_is_still_a_row() -> None:
    text = written(Column("a", "integer"), pa.array([1, None, 3]))
    assert len(list(csv.reader(io.StringIO(text)))) == 4
    assert text == 'a\n1\n""\n3\n'


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (Column("a", "number", decimals=2), [1.5, -0.004, 1e14], ["1.50", "0.00", f"{1e14:.2f}"]),
        (Column("a", "number", decimals=2), [1e30], [f"{1e30:.2f}"]),
        (Column("a", "number"), [0.1, 1e-20], ["0.1", "1e-20"]),
        (Column("a", "number", decimals=1, format=","), [1.5], ['"1,5"']),
        (Column("a", "integer", decimals=1), [129], ["129.0"]),
        (Column("a", "integer"), [10**16 + 1], ["10000000000000001"]),
        (Column("a", "boolean", format="no|yes"), [True, False], ["yes", "no"]),
    ],
)
def test_numbers_are_spelled_as_they_came(
    column: Column, values: list[object], expected: list[str]
) -> None:
    assert written(column, pa.array(values)).split("\n")[1:-1] == expected
