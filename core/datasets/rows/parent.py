"""Reading tables in a child process, so that a decoder's fault is no fault of ours."""

from collections.abc import Callable, Sequence
from pathlib import Path

from core.datasets.parent import run_in_child
from core.datasets.rows.summary import RowSummary
from core.datasets.rows.wanted import Wanted
from core.datasets.source import SourceFile
from core.settings import Limits


def read_rows_in_child(
    files: Sequence[SourceFile],
    wanted: Wanted,
    limits: Limits,
    out: Path,
    timeout_s: float,
    on_wait: Callable[[], None] | None = None,
) -> RowSummary:
    """As read_rows. Calls `on_wait` about once a second; what that raises ends the child."""
    spec = {
        "files": [{"path": str(file.path.resolve()), "name": file.name} for file in files],
        "wanted": wanted.to_dict(),
        "limits": limits.model_dump(),
        "out": str(out.resolve()),
    }
    return RowSummary.from_dict(run_in_child("rows", spec, timeout_s, on_wait))


def revise_rows_in_child(
    path: Path,
    summary: RowSummary,
    wanted: Wanted,
    limits: Limits,
    out: Path,
    timeout_s: float,
) -> RowSummary:
    """As revise_rows."""
    spec = {
        "path": str(path.resolve()),
        "summary": summary.to_dict(),
        "wanted": wanted.to_dict(),
        "limits": limits.model_dump(),
        "out": str(out.resolve()),
    }
    return RowSummary.from_dict(run_in_child("schema", spec, timeout_s))
