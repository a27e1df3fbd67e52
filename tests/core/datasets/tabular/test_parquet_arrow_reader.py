"""Parquet and Arrow, sound and damaged."""

import contextlib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.datasets.tabular import SchemaOverrides
from core.datasets.tabular.reading import read_table
from core.errors import DatasetUnreadable
from core.settings import Limits
from tests.core.datasets.tabular.conftest import Read, Refuse, source_of
from tests.core.datasets.tabular.factories import arrow_of, parquet_of

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
    "moment": pa.array([datetime(2021, 2, 1 + i, 7, tzinfo=UTC) for i in range(N)]),
    "nano": pa.array([1_612_000_000_123_000_000 + i for i in range(N)], pa.timestamp("ns")),
    "nothing": pa.nulls(N),
}


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_types_of_all_widths_become_the_few_that_are_learned(kind: str, read: Read) -> None:
    data = parquet_of(COLUMNS) if kind == "parquet" else arrow_of(COLUMNS, stream=kind == "stream")
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
        "moment": "datetime",
        "nano": "datetime",
        "nothing": "category",
    }
    assert table.values("big")[:2] == [2**53 + 1, 2**53 + 4]
    assert table.values("holes")[:3] == [None, 1, 2]
    assert table.values("word")[:3] == ["x", None, "ß"]
    assert table["money"].decimals == 2
    assert table.shown("day")[0] == "2021-02-01"
    assert table.shown("moment")[0] == "2021-02-01T07:00:00Z"
    assert table.shown("nano")[0] == "2021-01-30T09:46:40.123"
    assert table.values("nothing") == [None] * N
    assert table["nothing"].nullable


def test_nan_and_infinity_are_missing_and_told_by_row(read: Read) -> None:
    table = read(parquet_of({"a": [1.5, float("nan"), float("inf"), 2.5, None], "b": [1] * 5}))
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
        pa.array([time(7)] * N),
        pa.array([b"x"] * N),
        pa.array(range(N), pa.duration("s")),
    ],
)
def test_a_column_of_another_type_is_refused_by_name_or_left_out(
    values: pa.Array, read: Read, refuse: Refuse
) -> None:
    data = parquet_of({"a": list(range(N)), "strange": values})
    error = refuse(data)
    assert (error.code, error.field_errors[0].pointer) == ("column_type", "/file/columns/strange")
    table = read(data, exclude_columns=("strange",))
    assert list(table.types) == ["a"]
    assert "strange" in table.summary.notes[0]


def test_numbers_beyond_64_bits_are_refused_by_name(refuse: Refuse) -> None:
    error = refuse(parquet_of({"a": pa.array([2**64 - 1 - i for i in range(N)], pa.uint64())}))
    assert (error.code, error.field_errors[0].pointer) == ("column_type", "/file/columns/a")


def test_doubled_names_are_refused_by_name(refuse: Refuse) -> None:
    table = pa.Table.from_arrays([pa.array(range(N))] * 2, names=["a", "a"])
    assert refuse(parquet_of(table)).field_errors[0].pointer == "/file/columns/a"


def test_integers_may_be_the_names(read: Read) -> None:
    assert list(read(parquet_of({"0": [1] * 5, "1": [2] * 5})).types) == ["0", "1"]


@pytest.mark.parametrize(
    "data",
    [
        b"PAR1",
        b"PAR1" + b"\xff\xff\xff\x7fPAR1",
        b"PAR1" + b"x" * 1_000,
        parquet_of(COLUMNS)[:-100],
        parquet_of(COLUMNS)[:50] + parquet_of(COLUMNS)[-50:],
        arrow_of(COLUMNS)[:-100],
        arrow_of(COLUMNS, stream=True)[:400],
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff\x10\0\0\0garbage",
    ],
    ids=range(9),
)
def test_damaged_files_are_refused(data: bytes, refuse: Refuse) -> None:
    assert refuse(data, "a.parquet").code == "table_unreadable"


def test_a_text_file_called_parquet_is_read_as_text(read: Read) -> None:
    assert read("a,b\n" + "1,x\n2,y\n" * 4, "a.parquet").summary.format == "csv"


def test_rows_are_counted_before_they_are_read(refuse: Refuse) -> None:
    bomb = parquet_of({"a": pa.nulls(20_000_000, pa.int64())}, row_group_size=20_000_000)
    assert len(bomb) < 50_000
    error = refuse(bomb)
    assert error.code == "too_many_rows"
    assert "20,000,000" in error.detail  # as the footer has it


def test_cells_are_counted_too(refuse: Refuse) -> None:
    limits = Limits(cells_max=90)
    assert refuse(parquet_of({"a": range(50), "b": range(50)}), limits=limits).code == (
        "table_too_large"
    )
    assert refuse("a,b\n" + "1,2\n" * 50, limits=limits).code == "table_too_large"


def test_a_dictionary_that_unpacks_into_gigabytes_is_refused(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(500_000, np.int32)), pa.array(["x" * 1_000_000])
    )
    source = source_of(tmp_path, parquet_of({"a": long, "b": long}), "a.parquet")
    assert source.path.stat().st_size < 2_000_000
    from core.datasets.tabular import read_table_in_sandbox

    with pytest.raises(DatasetUnreadable):
        read_table_in_sandbox([source], SchemaOverrides(), Limits(), tmp_path, 60)


def test_flipped_bytes_never_do_more_than_be_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = parquet_of(COLUMNS, compression="snappy")
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 7)):
            data[rng.integers(4, len(data))] = rng.integers(256)
        source = source_of(tmp_path, bytes(data), "a.parquet")
        with contextlib.suppress(DatasetUnreadable):
            read_table([source], SchemaOverrides(), Limits(), tmp_path)


def test_times_that_no_calendar_has_are_refused_by_name(refuse: Refuse) -> None:
    times = pa.array([0] * 5 + [2**62], pa.timestamp("us"))
    error = refuse(parquet_of({"a": times, "b": range(6)}))
    assert (error.code, error.field_errors[0].pointer) == ("value_out_of_range", "/file/columns/a")
