"""Encoding of rows as CSV."""

import csv
import io
import json

import pyarrow as pa
import pytest

from modalities.tabular import csv_output, encode
from modalities.tabular.schema import Column


def encode_column(column: Column, values: pa.Array, *others: Column) -> str:
    batch = pa.RecordBatch.from_arrays(
        [values, *(pa.nulls(len(values), pa.string()) for _ in others)],
        names=[column.name, *(other.name for other in others)],
    )
    return b"".join(csv_output.encode_csv(iter([batch]), [column, *others])).decode()


WORDS = ["plain", "a, b", 'say "no"', "two\nlines", " blank before", "", "Zürich", "a;b"]


def test_csv_round_trips_every_text_and_quotes_only_where_needed() -> None:
    text = encode_column(
        Column("word, or so", "category"), pa.array(WORDS), Column("b", "category")
    )
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["word, or so", "b"]
    assert [row[0] for row in rows[1:]] == WORDS
    assert text.splitlines()[1] == "plain,"
    assert "Zürich,\n" in text
    assert '"",\n' in text  # an empty text is not a missing value


def test_missing_value_in_a_single_column_is_still_a_row() -> None:
    text = encode_column(Column("a", "integer"), pa.array([1, None, 3]))
    assert len(list(csv.reader(io.StringIO(text)))) == 4
    assert text == 'a\n1\n""\n3\n'


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (Column("a", "number", decimals=2), [1.5, -0.004, 1e14], ["1.50", "0.00", f"{1e14:.2f}"]),
        (Column("a", "number", decimals=2), [1e30], [f"{1e30:.2f}"]),
        (Column("a", "number"), [0.1, 1e-20], ["0.1", "1e-20"]),
        (Column("a", "number", decimals=1, format="0,0"), [1.5], ['"1,5"']),
        (Column("a", "integer", decimals=1), [129], ["129.0"]),
        (Column("a", "integer"), [10**16 + 1], ["10000000000000001"]),
        (Column("a", "boolean", format="no|yes"), [True, False], ["yes", "no"]),
    ],
)
def test_numbers_are_written_in_the_format_of_the_column(
    column: Column, values: list[object], expected: list[str]
) -> None:
    assert encode_column(column, pa.array(values)).split("\n")[1:-1] == expected


def test_json_has_integers_and_identifiers_as_numbers() -> None:
    columns = [Column("n", "integer"), Column("id", "id", arrow="int64"), Column("code", "id")]
    values = [pa.array([3]), pa.array([55], pa.int64()), pa.array(["07"])]
    batch = pa.RecordBatch.from_arrays(values, names=[column.name for column in columns])
    lines = b"".join(encode.encode("ndjson", iter([batch]), columns, {}))
    assert json.loads(lines) == {"n": 3, "id": 55, "code": "07"}
