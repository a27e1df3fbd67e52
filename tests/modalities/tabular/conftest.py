from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core.datasets.source import SourceFile
from core.errors import ValidationFailed
from core.limits import Limits
from modalities.tabular.schema import Column
from modalities.tabular.typed_parquet import typed_batches
from modalities.tabular.upload.preview import preview_rows
from modalities.tabular.upload.read_options import ReadOptions
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from modalities.tabular.upload.summary import TableSummary


class Table(NamedTuple):
    summary: TableSummary
    path: Path  # of rows.parquet

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.summary.schema.columns}

    def __getitem__(self, name: str) -> Column:
        return self.summary.schema[name]

    def values(self, name: str) -> list[Any]:
        """Return the values of a column as models read them."""
        batches = typed_batches(self.path, self.summary.schema.columns)
        return [value for batch in batches for value in batch.column(name).to_pylist()]

    def preview(self, name: str) -> list[Any]:
        """Return the values of a column as a client reads them."""
        return [row[name] for row in preview_rows(self.path, self.summary.schema, 0, 1_000)]

    def issue(self, code: str) -> dict[str, Any] | None:
        matches = [issue.to_dict() for issue in self.summary.issues if issue.code == code]
        return matches[0] if matches else None


Upload = bytes | str | Path
Read = Callable[..., Table]
Reject = Callable[..., ValidationFailed]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read an upload given as bytes, as text (in UTF-8) or as a path."""

    def read(
        data: Upload,
        name: str = "a.csv",
        *,
        limits: Limits | None = None,
        options: ReadOptions | None = None,
        **overrides: Any,
    ) -> Table:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        source = write_source(tmp_path, data, name)
        summary = read_table(
            [source],
            SchemaOverrides(**overrides, pointer_prefix="/meta"),
            limits or Limits(),
            out,
            options or ReadOptions(),
        )
        assert sorted(p.name for p in out.iterdir()) == ["profile.json", "rows.parquet"]
        assert TableSummary.from_dict(summary.to_dict()) == summary
        return Table(summary, out / "rows.parquet")

    return read


@pytest.fixture
def reject(tmp_path: Path) -> Reject:
    """Read an upload that must be rejected and return the error.

    Every error is short and contains no path of the server.
    """

    def reject(
        data: Upload,
        name: str = "a.csv",
        *,
        limits: Limits | None = None,
        options: ReadOptions | None = None,
        **overrides: Any,
    ) -> ValidationFailed:
        out = tmp_path / "refused"
        out.mkdir(exist_ok=True)
        source = write_source(tmp_path, data, name)
        with pytest.raises(ValidationFailed) as caught:
            read_table(
                [source],
                SchemaOverrides(**overrides, pointer_prefix="/meta"),
                limits or Limits(),
                out,
                options or ReadOptions(),
            )
        problem = str(caught.value.to_problem())
        assert str(tmp_path) not in problem
        assert len(problem) < 4_000
        return caught.value

    return reject


def write_source(folder: Path, data: Upload, name: str) -> SourceFile:
    if isinstance(data, Path):
        return SourceFile(data, name)
    path = folder / "upload"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return SourceFile(path, name)
