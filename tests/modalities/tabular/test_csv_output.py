"""Rows as CSV in the dialect of the uploaded file."""

from typing import Any

import pytest

from modalities.tabular import encode
from modalities.tabular.csv_output import CsvDialect
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
    dialect = CsvDialect(";").overridden({"delimiter": "\t", "quote": None, "escape": None})
    assert dialect == CsvDialect("\t")
