"""Tables in compressed files and zip archives, and arrays of JSON objects."""

import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pytest

from tests.modalities.tabular.conftest import Read, Reject
from tests.modalities.tabular.factories import build_parquet, build_workbook, build_zip

ROWS = "age,city\n" + "31,a\n44,b\n" * 9


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (gzip.compress(ROWS.encode()), "a.csv.gz"),
        (bz2.compress(ROWS.encode()), "a.csv.bz2"),
        (lzma.compress(ROWS.encode()), "a.csv.xz"),
        (pa.compress(ROWS.encode(), codec="zstd", asbytes=True), "a.csv.zst"),
        (build_zip({"people.csv": ROWS}), "a.zip"),
        (build_zip({"data/": "", "data/people": ROWS, "__MACOSX/._people": ""}), "a.zip"),
        (build_zip({"people.data": ROWS, "README.txt": "x"}), "a.zip"),
    ],
    ids=["gz", "bz2", "xz", "zst", "zip", "zip_without_suffix", "zip_with_document"],
)
def test_a_compressed_table_is_read(data: bytes, name: str, read: Read) -> None:
    assert read(data, name).values("age")[:2] == [31, 44]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.xlsx", build_workbook({"A": [["a", "b"], *[[i, i / 2] for i in range(9)]]})),
        ("a.parquet", build_parquet({"a": list(range(9)), "b": [i / 2 for i in range(9)]})),
        ("a.csv.gz", gzip.compress(b"a,b\n" + b"1,0.5\n" * 9)),
    ],
    ids=["xlsx", "parquet", "gz"],  # the content has a time, and names must be the same each time
)
def test_a_workbook_or_parquet_or_gzip_file_in_a_zip_is_read(
    name: str, data: bytes, read: Read
) -> None:
    table = read(build_zip({f"export/{name}": data, "export/readme.txt": "x"}), "a.zip")
    assert (list(table.types), table.summary.rows) == (["a", "b"], 9)
    assert table.issue("files_ignored") is not None


def test_files_next_to_the_table_are_named(read: Read) -> None:
    table = read(build_zip({"people.csv": ROWS, "info.pdf": "x"}), "a.zip")
    issue = table.issue("files_ignored")
    assert issue is not None
    assert issue["examples"] == ["info.pdf"]


@pytest.mark.parametrize(
    ("entries", "code", "text"),
    [
        ({"a.csv": ROWS, "x/b.csv": ROWS}, "several_tables", "a.csv, x/b.csv"),
        ({"a.pdf": "x", "b.doc": "y"}, "table_unreadable", "no table"),
        ({"a.xlsx": build_workbook({})}, "table_empty", "a.xlsx has no visible sheet"),
        ({"a.csv": build_zip({"b.csv": ROWS})}, "table_unreadable", "inside another one"),
        ({"a.csv": "1,2\n" * 20_000_000}, "archive_bomb", "far more"),
    ],
)
def test_other_zip_archives_are_rejected(
    entries: dict[str, str | bytes], code: str, text: str, reject: Reject
) -> None:
    error = reject(build_zip(entries), "a.zip")
    assert (error.code, text in error.detail) == (code, True)


def test_a_damaged_zip_archive_is_rejected(reject: Reject) -> None:
    data = bytearray(build_zip({"a.csv": ROWS * 100}))
    data[60] ^= 0xFF
    assert reject(bytes(data), "a.zip").code == "archive_invalid"
    assert reject(build_zip({"a.csv": ROWS})[:-10], "a.zip").code == "archive_invalid"


def test_zstandard_bombs_are_rejected(reject: Reject) -> None:
    bomb = pa.compress(b"1,2\n" * 10_000_000, codec="zstd", asbytes=True)
    assert reject(bomb, "a.csv.zst").code == "archive_bomb"


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_objects_is_a_table(
    indent: int | None, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": i, "v": i / 2, "s": "[}" if i % 2 else None} for i in range(9)]
    for size in (256 * 1024, 7):
        monkeypatch.setattr("modalities.tabular.upload.files.text_file.CHUNK_BYTES", size)
        table = read(json.dumps(rows, indent=indent), "a.json")
        assert table.summary.format == "json"
        assert table.values("v")[:3] == [0.0, 0.5, 1.0]
        assert table.values("s")[:2] == [None, "[}"]


def test_objects_may_span_lines(read: Read) -> None:
    text = "\n".join(json.dumps({"a": i, "b": "x"}, indent=1) for i in range(9))
    assert read(text, "a.json").values("a") == list(range(9))
