"""Reading of uploaded tables, and changes of their schema, in a sandbox process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.datasets.sandbox import OnWait, run_in_sandbox
from core.datasets.source import SourceFile
from core.limits import Limits
from modalities.tabular.upload.read_options import INFER_ALL, ReadOptions
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from modalities.tabular.upload.summary import TableSummary

Json = dict[str, Any]


class TableUpload(BaseModel):
    files: list[SourceFile]
    overrides: SchemaOverrides
    options: ReadOptions
    limits: Limits
    out: Path


class SchemaUpdate(BaseModel):
    path: Path  # of rows.parquet
    summary: Json
    overrides: SchemaOverrides
    limits: Limits
    out: Path


def ingest(files: Sequence[SourceFile], options: Json, out: Path, on_wait: OnWait) -> Json:
    """Read the file with the options of a request; see modalities.base.Datasets.ingest."""
    from core.settings import get_settings  # slow to import, and the sandbox does not need it

    settings = get_settings()
    return read_table_in_sandbox(
        files,
        SchemaOverrides.from_options(options, "/meta"),
        settings.limits,
        out,
        settings.ingest_timeout_seconds,
        on_wait,
        ReadOptions.from_dict(options.get("read", {})),
    ).to_dict()


def read_table_in_sandbox(
    files: Sequence[SourceFile],
    overrides: SchemaOverrides,
    limits: Limits,
    out: Path,
    timeout_s: float,
    on_wait: Callable[[], None] | None = None,
    options: ReadOptions = INFER_ALL,
) -> TableSummary:
    """Run `read` in a sandbox process.

    Calls `on_wait` about once a second; an exception that it raises kills the process.
    """
    files = [SourceFile(file.path.resolve(), file.name) for file in files]
    upload = TableUpload(
        files=files, overrides=overrides, options=options, limits=limits, out=out.resolve()
    )
    answer = run_in_sandbox("modalities.tabular.sandboxed:read", upload, timeout_s, on_wait)
    return TableSummary.from_dict(answer)


def update_table_schema_in_sandbox(
    path: Path,
    summary: TableSummary,
    overrides: SchemaOverrides,
    limits: Limits,
    out: Path,
    timeout_s: float,
) -> TableSummary:
    """Run `update_schema` in a sandbox process."""
    update = SchemaUpdate(
        path=path.resolve(),
        summary=summary.to_dict(),
        overrides=overrides,
        limits=limits,
        out=out.resolve(),
    )
    answer = run_in_sandbox("modalities.tabular.sandboxed:update_schema", update, timeout_s)
    return TableSummary.from_dict(answer)
