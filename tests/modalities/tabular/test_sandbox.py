"""Reading of tables in a sandboxed child process and in bounded memory."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from core.errors import DatasetUnreadable, ValidationFailed
from core.limits import Limits
from modalities.tabular.ingest import read_table_in_sandbox, update_table_schema_in_sandbox
from modalities.tabular.typed_parquet import typed_batches
from modalities.tabular.upload.files import spool
from modalities.tabular.upload.preview import preview_rows
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import ColumnOverride, SchemaOverrides
from tests.core.datasets.children import PeakMemory
from tests.modalities.tabular.conftest import write_source
from tests.modalities.tabular.factories import build_column_csv, build_csv, build_parquet


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_reading_in_the_sandbox_equals_reading_in_process(tmp_path: Path, out: Path) -> None:
    source = write_source(tmp_path, build_csv({"a": ["x", "y"] * 9, "b": range(18)}), "a.csv")
    overrides = SchemaOverrides(
        target="a", columns=(ColumnOverride("b", type="number"),), pointer_prefix="/meta"
    )
    summary = read_table_in_sandbox([source], overrides, Limits(), out, 60)
    content = {path.name: path.read_bytes() for path in out.iterdir()}
    assert summary == read_table([source], overrides, Limits(), out)
    assert content == {path.name: path.read_bytes() for path in out.iterdir()}
    changed = SchemaOverrides(exclude_columns=("b",))
    revised = update_table_schema_in_sandbox(
        out / "rows.parquet", summary, changed, Limits(), out, 60
    )
    assert revised.schema["b"].exclude


def test_errors_in_the_sandbox_keep_their_type_and_details(tmp_path: Path, out: Path) -> None:
    source = write_source(tmp_path, build_column_csv(1, 2, 3, 4, 5), "a.csv")
    with pytest.raises(ValidationFailed) as caught:
        read_table_in_sandbox(
            [source], SchemaOverrides(target="x", pointer_prefix="/meta"), Limits(), out, 60
        )
    assert type(caught.value) is ValidationFailed
    assert caught.value.field_errors[0].allowed == ("a", "n")
    with pytest.raises(DatasetUnreadable, match="at least 6 are needed"):
        read_table_in_sandbox([source], SchemaOverrides(), Limits(rows_min=6), out, 60)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
def test_reading_300_000_rows_uses_less_than_600_mib(tmp_path: Path, out: Path) -> None:
    rng = np.random.default_rng(0)
    n = 300_000
    columns: dict[str, Any] = {f"f{i}": rng.normal(size=n).astype(np.float32) for i in range(3)}
    columns |= {f"c{i}": rng.choice(["red", "green, blue", "black"], n) for i in range(3)}
    columns["id"] = np.arange(n)
    path = tmp_path / "a.csv"
    pa.csv.write_csv(pa.table(columns), path)
    usage = PeakMemory()
    source = write_source(tmp_path, path, "a.csv")
    summary = read_table_in_sandbox(
        [source], SchemaOverrides(target="c0"), Limits(), out, 120, usage
    )
    assert summary.rows == n
    assert [column.type for column in summary.schema.columns] == [
        *["number"] * 3,
        *["category"] * 3,
        "id",
    ]
    assert sum(label["count"] for label in summary.labels) == n
    assert 0 < usage.peak < 600 * 2**20
    read = np.concatenate(
        [
            b.column("f2").to_numpy()
            for b in typed_batches(out / "rows.parquet", summary.schema.columns)
        ]
    )
    assert (read == columns["f2"].astype(str).astype(float)).all()


def test_table_with_200_columns_is_read(tmp_path: Path, out: Path) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"x{i}": rng.normal(size=500) for i in range(100)}
    columns |= {f"c{i}": rng.choice(["u", "v"], 500) for i in range(100)}
    source = write_source(tmp_path, build_parquet(columns), "a.parquet")
    summary = read_table([source], SchemaOverrides(target="c7"), Limits(), out)
    assert len(summary.schema.columns) == 200
    assert len(json.loads((out / "profile.json").read_text())["columns"]) == 200


def test_preview_page_may_span_row_groups(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_MAX_BATCH_CELLS", 1)  # 256 rows in a group
    data = build_csv({"a": [7 * i % 1_009 for i in range(1_000)], "b": ["x", "y"] * 500})
    source = write_source(tmp_path, data, "a.csv")
    schema = read_table([source], SchemaOverrides(), Limits(), out).schema
    for start, count in ((0, 3), (250, 300), (255, 1), (256, 1), (998, 9), (1_000, 5)):
        page = preview_rows(out / "rows.parquet", schema, start, count)
        indices = range(start, min(1_000, start + count))
        assert [row["a"] for row in page] == [7 * i % 1_009 for i in indices]
