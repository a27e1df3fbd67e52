"""What the child does for revise_rows_in_child."""

from pathlib import Path
from typing import Any

from core.datasets.rows.reading import revise_rows
from core.datasets.rows.summary import RowSummary
from core.datasets.rows.wanted import Wanted
from core.settings import Limits


def run(spec: dict[str, Any]) -> dict[str, Any]:
    summary, wanted = RowSummary.from_dict(spec["summary"]), Wanted.from_dict(spec["wanted"])
    path, out = Path(spec["path"]), Path(spec["out"])
    return revise_rows(path, summary, wanted, Limits(**spec["limits"]), out).to_dict()
