"""Reading of valid and damaged Parquet and Arrow files."""

import contextlib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from tests.modalities.tabular.conftest import Read, Reject, write_source
from tests.modalities.tabular.factories import build_arrow, build_parquet

N = 12
COLUMNS = {
    "i8": pa.array(range(N), pa.int8()),
    "big": pa.array([2**53 + 1 + 3 * i for i in range(N)], pa.int64()),
    "u64": pa.array(range(0, 5 * N, 5), pa.uint64()),
    "f32": pa.array([0.5 * i for i in range(N)], pa.float32()),
    "holes": pa.array([None if i % 5 == 0 else float(i % 4) for i in range(N)], pa.float64()),
    "money": pa.array([Decimal(i) / 4 for i in range(N)], pa.decimal128(10, 2)),
    "flag": pa.array([i % 2 == 0 for i in range(N)]),
    "word": pa.array([["x", "", "ß"][i % 3] for i in range(N)], pa.large_string()),
    "coded": pa.array(["u", "v"] * (N // 2)).dictionary_encode(),
    "digits": pa.array(["1", "2"] * (N // 2)),
    "day": pa.array([date(2021, 2, 1 + i) for i in range(N)]),
    "timestamp": pa.array([datetime(2021, 2, 1 + i, 7, tzinfo=UTC) for i in range(N)]),
    "nano": pa.array([1_612_000_000_123_000_000 + i for i in range(N)], pa.timestamp("ns")),
    "empty": pa.nulls(N),
}


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_arrow_types_of_all_widths_map_to_the_column_types(kind: str, read: Read) -> None:
    data = (
        build_parquet(COLUMNS)
        if kind == "parquet"
        else build_arrow(COLUMNS, stream=kind == "stream")
    )
    table = read(data, "a.bin")
    assert table.summary.format == ("parquet" if kind == "parquet" else "arrow")
    assert table.types == {
        "i8": "integer",
        "big": "integer",
        "u64": "integer",
        "f32": "number",
        "holes": "integer",
        "money": "number",
        "flag": "boolean",
        "word": "category",
        "coded": "category",
        "digits": "category",
        "day": "datetime",
        "timestamp": "datetime",
        "nano": "datetime",
        "empty": "category",
    }
    assert table.values("big")[:2] == [2**53 + 1, 2**53 + 4]
    assert table.values("holes")[:3] == [None, 1, 2]
    assert table.values("word")[:3] == ["x", None, "ß"]
    assert table["money"].decimals == 2
    assert table.preview("day")[0] == "2021-02-01"
    assert table.preview("timestamp")[0] == "2021-02-01T07:00:00Z"
    assert table.preview("nano")[0] == "2021-01-30T09:46:40.123"
    assert table.values("empty") == [None] * N
    assert table["empty"].nullable


def test_decimals_become_the_nearest_float(read: Read) -> None:
    prices = [Decimal(14_383 + 7 * i) / 10 for i in range(100)]
    data = build_parquet({"price": pa.array([*prices, None], pa.decimal128(18, 1))})
    assert read(data).values("price") == [*(float(price) for price in prices), None]


def test_nan_and_infinity_become_missing_and_infinity_is_reported_by_row(read: Read) -> None:
    table = read(build_parquet({"a": [1.5, float("nan"), float("inf"), 2.5, None], "b": [1] * 5}))
    assert table.values("a") == [1.5, None, None, 2.5, None]
    issue = table.issue("non_finite")
    assert issue is not None
    assert (issue["count"], issue["examples"]) == (2, ["a: row 2", "a: row 3"])


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1], [2]] * 6),
        pa.array([{"x": 1}] * N),
        pa.array([[("k", 1)]] * N, pa.map_(pa.string(), pa.int64())),
        pa.array([b"x"] * N),
    ],
)
def test_column_of_an_unsupported_type_is_rejected_by_name_unless_excluded(
    values: pa.Array, read: Read, reject: Reject
) -> None:
    data = build_parquet({"a": list(range(N)), "unsupported": values})
    error = reject(data)
    assert (error.code, error.field_errors[0].pointer) == (
        "column_type",
        "/file/columns/unsupported",
    )
    table = read(data, exclude_columns=("unsupported",))
    assert list(table.types) == ["a"]
    assert "unsupported" in table.summary.notes[0]


def test_duplicate_parquet_columns_are_rejected_by_name(reject: Reject) -> None:
    table = pa.Table.from_arrays([pa.array(range(N))] * 2, names=["a", "a"])
    assert reject(build_parquet(table)).field_errors[0].pointer == "/file/columns/a"


def test_column_names_may_be_integers(read: Read) -> None:
    assert list(read(build_parquet({"0": [1] * 5, "1": [2] * 5})).types) == ["0", "1"]


@pytest.mark.parametrize(
    "data",
    [
        b"PAR1",
        b"PAR1" + b"\xff\xff\xff\x7fPAR1",
        b"PAR1" + b"x" * 1_000,
        build_parquet(COLUMNS)[:-100],
        build_parquet(COLUMNS)[:50] + build_parquet(COLUMNS)[-50:],
        build_arrow(COLUMNS)[:-100],
        build_arrow(COLUMNS, stream=True)[:400],
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff\x10\0\0\0garbage",
    ],
    ids=range(9),
)
def test_damaged_files_are_rejected(data: bytes, reject: Reject) -> None:
    assert reject(data, "a.parquet").code == "table_unreadable"


def test_csv_file_named_parquet_is_read_as_csv(read: Read) -> None:
    assert read("a,b\n" + "1,x\n2,y\n" * 4, "a.parquet").summary.format == "csv"


def test_too_many_parquet_rows_are_rejected_from_the_footer(reject: Reject) -> None:
    bomb = build_parquet({"a": pa.nulls(20_000_000, pa.int64())}, row_group_size=20_000_000)
    assert len(bomb) < 50_000
    error = reject(bomb)
    assert error.code == "too_many_rows"
    assert "20,000,000" in error.detail  # the row count of the footer


def test_tables_above_the_cell_limit_are_rejected(reject: Reject) -> None:
    limits = Limits(cells_max=90)
    assert reject(build_parquet({"a": range(50), "b": range(50)}), limits=limits).code == (
        "table_too_large"
    )
    assert reject("a,b\n" + "1,2\n" * 50, limits=limits).code == "table_too_large"


def test_dictionary_column_that_decodes_to_gigabytes_is_rejected(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(500_000, np.int32)), pa.array(["x" * 1_000_000])
    )
    source = write_source(tmp_path, build_parquet({"a": long, "b": long}), "a.parquet")
    assert source.path.stat().st_size < 2_000_000
    from modalities.tabular.ingest import read_table_in_sandbox

    with pytest.raises(DatasetUnreadable):
        read_table_in_sandbox([source], SchemaOverrides(), Limits(), tmp_path, 60)


def test_parquet_with_random_byte_changes_is_read_or_rejected(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = build_parquet(COLUMNS, compression="snappy")
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 7)):
            data[rng.integers(4, len(data))] = rng.integers(256)
        source = write_source(tmp_path, bytes(data), "a.parquet")
        with contextlib.suppress(DatasetUnreadable):
            read_table([source], SchemaOverrides(), Limits(), tmp_path)


def test_timestamps_out_of_calendar_range_are_rejected_by_column_name(reject: Reject) -> None:
    times = pa.array([0] * 5 + [2**62], pa.timestamp("us"))
    error = reject(build_parquet({"a": times, "b": range(6)}))
    assert (error.code, error.field_errors[0].pointer) == ("value_out_of_range", "/file/columns/a")
