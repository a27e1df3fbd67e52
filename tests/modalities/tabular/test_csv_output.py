"""Rows as CSV in the dialect of the uploaded file."""

from typing import Any

import pytest

from modalities.tabular import encode
from modalities.tabular.csv_output import CsvDialect, encode_csv
from modalities.tabular.typed_parquet import typed_batches
from tests.modalities.tabular.conftest import Read, Table


def write(table: Table) -> str:
    summary: dict[str, Any] = table.summary.to_dict()
    return b"".join(encode.encode_dataset(table.path, summary, "csv")).decode()


@pytest.mark.parametrize(
    "text",
    [
        "a;b\n1,5;x\n2,5;y\n" + "3,5;z\n" * 4,
        "a\tb\n1\tx\n2\ty\n" + "3\tz\n" * 4,
        "a|b\n1|x\n2|y\n" + "3|z\n" * 4,
        "a,b\n'x, y',1\n'z, w',2\n" + "'v, ''q''',3\n" * 4,
        'a,b\n"say \\"hi\\"",1\n"say \\"ho\\"",2\n' + '"say \\"no\\"",3\n' * 4,
        "a b\nx 1.5\ny 2.5\n" + '"z w" 3.5\n' * 4,
    ],
    ids=["semicolon", "tab", "bar", "apostrophe", "backslash", "blank"],
)
def test_a_file_is_returned_in_its_dialect(text: str, read: Read) -> None:
    table = read(text)
    assert write(table) == text
    assert read(write(table)).summary.read == table.summary.read


def test_missing_values_between_blanks_are_visible(read: Read) -> None:
    text = 'a b\nx 1.5\n"" 2.5\n' + "y 3.5\n" * 6
    table = read(text)
    assert table.values("a")[:2] == ["x", None]
    assert write(table) == text


def test_other_formats_become_standard_csv() -> None:
    assert CsvDialect.of_upload({}) == CsvDialect(",", '"', "")
    assert CsvDialect.of_upload({"delimiter": "::"}) == CsvDialect()


def test_a_request_overrides_the_dialect() -> None:
    manifest = {"csv": CsvDialect(";", "'").to_dict()}
    changes = {"delimiter": "\t", "quote": None, "escape": None}
    assert CsvDialect.of_model(manifest, changes) == CsvDialect("\t", "'")


def test_formulas_can_be_disarmed_and_numbers_stay(read: Read) -> None:
    rows = ["=1+1;-3;x", "@sum;4;+y", "-z;-5;plain"] * 4
    table = read("\n".join(["=cmd;n;b", *rows]) + "\n")
    names = [column.name for column in table.summary.schema.columns]
    assert names == ["=cmd", "n", "b"]
    batches = typed_batches(table.path, table.summary.schema.columns)
    dialect = CsvDialect(";", escape_formulas=True)
    lines = (
        b"".join(encode_csv(batches, table.summary.schema.columns, dialect)).decode().splitlines()
    )
    assert lines[:4] == ["'=cmd;n;b", "'=1+1;-3;x", "'@sum;4;'+y", "'-z;-5;plain"]
    assert "escape_formulas" not in dialect.to_dict()
