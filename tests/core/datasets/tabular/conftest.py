from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core.datasets.source import SourceFile
from core.datasets.tabular import Column, SchemaOverrides, TableSummary
from core.datasets.tabular.preview import preview_rows
from core.datasets.tabular.reading import read_table
from core.datasets.tabular.typed_parquet import typed_batches
from core.errors import ValidationFailed
from core.settings import Limits


class Table(NamedTuple):
    summary: TableSummary
    path: Path  # of rows.parquet

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.summary.schema.columns}

    def __getitem__(self, name: str) -> Column:
        return self.summary.schema[name]

    def values(self, name: str) -> list[Any]:
        """As models get them."""
        batches = typed_batches(self.path, self.summary.schema.columns)
        return [value for batch in batches for value in batch.column(name).to_pylist()]

    def shown(self, name: str) -> list[Any]:
        """As a client gets them back."""
        return [row[name] for row in preview_rows(self.path, self.summary.schema, 0, 1_000)]

    def issue(self, code: str) -> dict[str, Any] | None:
        found = [issue.to_dict() for issue in self.summary.issues if issue.code == code]
        return found[0] if found else None


Upload = bytes | str | Path
Read = Callable[..., Table]
Refuse = Callable[..., ValidationFailed]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads bytes as they would be uploaded, or a text in UTF-8."""

    def read(
        data: Upload,
        name: str = "a.csv",
        *,
        limits: Limits | None = None,
        **wanted: Any,
    ) -> Table:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        source = source_of(tmp_path, data, name)
        summary = read_table(
            [source], SchemaOverrides(**wanted, pointer_prefix="/meta"), limits or Limits(), out
        )
        assert sorted(p.name for p in out.iterdir()) == ["profile.json", "rows.parquet"]
        assert TableSummary.from_dict(summary.to_dict()) == summary
        return Table(summary, out / "rows.parquet")

    return read


@pytest.fixture
def refuse(tmp_path: Path) -> Refuse:
    """The error, which in every case is short and names no path of ours."""

    def refuse(
        data: Upload,
        name: str = "a.csv",
        *,
        limits: Limits | None = None,
        **wanted: Any,
    ) -> ValidationFailed:
        out = tmp_path / "refused"
        out.mkdir(exist_ok=True)
        source = source_of(tmp_path, data, name)
        with pytest.raises(ValidationFailed) as caught:
            read_table(
                [source], SchemaOverrides(**wanted, pointer_prefix="/meta"), limits or Limits(), out
            )
        problem = str(caught.value.to_problem())
        assert str(tmp_path) not in problem
        assert len(problem) < 4_000
        return caught.value

    return refuse


def source_of(folder: Path, data: Upload, name: str) -> SourceFile:
    if isinstance(data, Path):
        return SourceFile(data, name)
    path = folder / "upload"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return SourceFile(path, name)
