"""Small files that would need much memory are rejected before they are unpacked."""

import io
import itertools
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.datasets import arrow_messages, parquet_pages, sandbox
from core.errors import DatasetUnreadable
from core.limits import MIB, Limits
from modalities.tabular.ingest import read_table_in_sandbox
from modalities.tabular.upload.files import parquet_arrow_reader
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from tests.core.datasets.children import PeakMemory
from tests.modalities.tabular.conftest import Read, Reject, write_source
from tests.modalities.tabular.factories import build_parquet, build_workbook, build_zip

LONG = "x" * 60_000
PLAIN = {"use_dictionary": False, "data_page_size": 2**31 - 2, "write_batch_size": 10**6}


def encoded(rows: int, text: str = LONG) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def build_arrow(columns: dict[str, Any], compression: str | None) -> bytes:
    table, out = pa.table(columns), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(out, table.schema, options=options) as writer:
        writer.write_table(table)
    return out.getvalue()


def stretch_workbook(cell: str) -> bytes:
    """Build a small workbook with one more cell, far away from the others."""
    data = build_workbook({"s": [["a", "b"], *([i, -i] for i in range(9))]})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/s1.xml"
    far = f'<row r="{cell.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}"><c r="{cell}"><v>1</v></c></row>'
    entries[sheet] = entries[sheet].replace(b"</sheetData>", far.encode() + b"</sheetData>")
    return build_zip(entries)


def test_headers_of_pages_with_other_types_are_damaged(tmp_path: Path) -> None:
    data = build_parquet({"a": ["x", "yy"] * 20}, compression="none", use_dictionary=False)
    path = tmp_path / "a.parquet"
    metadata = pq.read_metadata(io.BytesIO(data))
    start = metadata.row_group(0).column(0).data_page_offset
    read = damaged = 0
    for position, value in itertools.product(range(start, start + 30), range(256)):
        path.write_bytes(data[:position] + bytes([value]) + data[position + 1 :])
        try:
            parquet_pages.measure_columns(path, metadata)
            read += 1
        except parquet_pages.DamagedPagesError:
            damaged += 1
    assert read
    assert damaged


def test_parquet_with_pages_above_the_budget_is_rejected_by_their_headers(
    monkeypatch: pytest.MonkeyPatch, read: Read, reject: Reject
) -> None:
    texts = pa.array([LONG] * 40)
    data = build_parquet({"a": texts, "n": range(40)}, compression="zstd", **PLAIN)
    assert len(data) < 5_000
    assert read(data, "a.parquet").summary.rows == 40
    monkeypatch.setattr(parquet_pages, "MAX_PAGE_BYTES", 40 * len(LONG))
    assert reject(data, "a.parquet").code == "table_too_large"


def test_arrow_batch_above_the_budget_is_rejected_by_its_header(
    monkeypatch: pytest.MonkeyPatch, read: Read, reject: Reject
) -> None:
    monkeypatch.setattr(arrow_messages, "MAX_BATCH_BYTES", 40 * len(LONG))
    for compression in ("zstd", "lz4"):
        data = build_arrow({"a": pa.array([LONG] * 40), "n": range(40)}, compression)
        assert reject(data, "a.arrow").code == "table_too_large"
        data = build_arrow({"a": pa.array([LONG] * 39), "n": range(39)}, compression)
        assert read(data, "a.arrow").summary.rows == 39
    data = build_arrow({"a": pa.DictionaryArray.from_arrays([0] * 9, [LONG * 50])}, "zstd")
    assert reject(data, "a.arrow").code == "table_too_large"


@pytest.mark.parametrize("form", ["dictionary", "delta", "arrow", "view"])
def test_texts_are_decoded_in_slices_and_bounded_by_the_size_of_the_file(
    form: str, monkeypatch: pytest.MonkeyPatch, read: Read, reject: Reject
) -> None:
    rows, text = 3_000, "y" * 2_000
    columns = {"a": encoded(rows, text), "n": range(rows)}
    if form == "arrow":
        data = build_arrow(columns, "zstd")
    elif form == "view":
        data = build_arrow(columns | {"a": pa.array([text] * rows, pa.string_view())}, "zstd")
    elif form == "delta":
        options = {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}}
        data = build_parquet(columns | {"a": pa.array([text] * rows)}, **options)
        monkeypatch.setattr(parquet_pages, "BATCH_BYTES", MIB)
    else:
        data = build_parquet(columns)
    monkeypatch.setattr(parquet_arrow_reader, "_SLICE_BYTES", MIB)
    batches = []
    original = parquet_arrow_reader._to_plain

    def record(values: pa.Array, *arguments: Any) -> pa.Array:
        batches.append(original(values, *arguments))
        return batches[-1]

    monkeypatch.setattr(parquet_arrow_reader, "_to_plain", record)
    assert read(data, "a.bin").values("a") == [text] * rows
    assert max(batch.nbytes for batch in batches) < 2 * MIB
    monkeypatch.setattr(parquet_arrow_reader, "_RATIO_FREE_BYTES", MIB)
    error = reject(data, "a.bin", limits=Limits(archive_ratio=1))
    assert error.code == "archive_bomb"


def test_far_cell_of_a_workbook_is_rejected_before_the_cells_are_loaded(
    read: Read, reject: Reject
) -> None:
    assert read(stretch_workbook("C900"), "a.xlsx").summary.rows == 10
    error = reject(stretch_workbook("XFD1000000"), "a.xlsx")
    assert error.code == "table_too_large"
    assert "1,000,000 rows and 16,384 columns" in error.detail


def test_sizes_are_those_of_the_page_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"a": pa.array([LONG] * 40), "b": pa.array(range(40)), "c": encoded(40)}
    plain = ["a", "b"]
    path.write_bytes(build_parquet(columns, compression="zstd", use_dictionary=["c"]))
    metadata = pq.ParquetFile(path).metadata
    measured = dict(zip(columns, parquet_pages.measure_columns(path, metadata), strict=True))
    for i, name in enumerate(plain):
        size = metadata.row_group(0).column(i).total_uncompressed_size
        assert size - 100 < measured[name].pages < size  # without the header
        assert measured[name].row == measured[name].pages // 40
    assert len(LONG) < measured["c"].dictionary < measured["c"].pages < len(LONG) + 100
    data = bytearray(path.read_bytes())
    data[4:12] = b"\xff" * 8
    path.write_bytes(bytes(data))
    with pytest.raises(parquet_pages.DamagedPagesError):
        parquet_pages.measure_columns(path, metadata)


def bombs() -> dict[str, bytes]:
    texts = pa.array([LONG] * 8_000)
    many = {f"c{i}": texts for i in range(3)}
    delta = {"use_dictionary": False, "column_encoding": dict.fromkeys(many, "DELTA_BYTE_ARRAY")}
    repeated = (
        '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"><office:body>'
        '<office:spreadsheet><table:table table:name="s"><table:table-row '
        'table:number-rows-repeated="900000"><table:table-cell table:number-columns-repeated='
        '"100" office:value-type="float" office:value="1"/></table:table-row></table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    return {
        "dictionary.parquet": build_parquet({f"c{i}": encoded(20_000) for i in range(8)}),
        "pages.parquet": build_parquet(many, compression="zstd", **PLAIN),
        "delta.parquet": build_parquet(many, compression="zstd", **delta),
        "dictionary.arrow": build_arrow({f"c{i}": encoded(20_000) for i in range(8)}, "zstd"),
        "batch.arrow": build_arrow(many, "zstd"),
        "far.xlsx": stretch_workbook("XFD1000000"),
        "repeated.ods": build_zip(
            {
                "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
                "META-INF/manifest.xml": "<manifest:manifest xmlns:manifest="
                '"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
                "content.xml": repeated,  # the reader itself refuses more than 100 million cells
            }
        ),
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_files_that_unpack_to_gigabytes_are_rejected_with_less_than_a_gigabyte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_WAIT_S", 0.05)  # how often the memory is read
    peaks, words = {}, ("far larger", "more than", "Delete empty", "more memory")
    for name, data in bombs().items():
        assert len(data) < MIB
        usage, source = PeakMemory(), write_source(tmp_path, data, name)
        with pytest.raises(DatasetUnreadable) as caught:
            read_table_in_sandbox([source], SchemaOverrides(), Limits(), tmp_path, 120, usage)
        assert any(word in caught.value.detail for word in words), (name, caught.value.detail)
        peaks[name] = usage.peak // MIB
    # The memory of the ODS reader is limited by the system alone.
    ods = peaks.pop("repeated.ods")
    assert 0 < max(peaks.values()) < 1_000, peaks
    assert ods < 4_500


def test_lengths_of_texts_are_those_of_their_bytes() -> None:
    texts = ["", "ab", None, "ü" * 20]
    types = (pa.string(), pa.large_string(), pa.string_view())
    for type_, sliced in itertools.product(types, (False, True)):
        values = pa.array([*texts, "x"], type_)[1:] if sliced else pa.array(texts, type_)
        expected = [2, 0, 40, 1] if sliced else [0, 2, 0, 40]
        assert parquet_arrow_reader._text_bytes(values).tolist() == expected
    coded = pa.array(texts).dictionary_encode()
    assert parquet_arrow_reader._text_bytes(coded).tolist() == [0, 2, 0, 40]
