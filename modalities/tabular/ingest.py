"""Table reading in a sandboxed subprocess, which isolates the decoders of untrusted files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from core.datasets.sandbox import run_in_sandbox
from core.datasets.source import SourceFile
from core.settings import Limits
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from modalities.tabular.upload.summary import TableSummary


def read_table_in_sandbox(
    files: Sequence[SourceFile],
    overrides: SchemaOverrides,
    limits: Limits,
    out: Path,
    timeout_s: float,
    on_wait: Callable[[], None] | None = None,
) -> TableSummary:
    """Run read_table in the sandbox.

    Calls `on_wait` about once a second; an exception that it raises ends the subprocess.
    """
    spec = {
        "files": [{"path": str(file.path.resolve()), "name": file.name} for file in files],
        "overrides": overrides.to_dict(),
        "limits": limits.model_dump(),
        "out": str(out.resolve()),
    }
    return TableSummary.from_dict(run_in_sandbox("read_table", spec, timeout_s, on_wait))


def update_table_schema_in_sandbox(
    path: Path,
    summary: TableSummary,
    overrides: SchemaOverrides,
    limits: Limits,
    out: Path,
    timeout_s: float,
) -> TableSummary:
    """Run update_table_schema in the sandbox."""
    spec = {
        "path": str(path.resolve()),
        "summary": summary.to_dict(),
        "overrides": overrides.to_dict(),
        "limits": limits.model_dump(),
        "out": str(out.resolve()),
    }
    return TableSummary.from_dict(run_in_sandbox("update_schema", spec, timeout_s))
