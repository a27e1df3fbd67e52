"""Subprocess side of update_table_schema_in_sandbox."""

from pathlib import Path
from typing import Any

from core.datasets.tabular.reading import update_table_schema
from core.datasets.tabular.schema_overrides import SchemaOverrides
from core.datasets.tabular.summary import TableSummary
from core.settings import Limits


def run(spec: dict[str, Any]) -> dict[str, Any]:
    summary = TableSummary.from_dict(spec["summary"])
    overrides = SchemaOverrides.from_dict(spec["overrides"])
    path, out = Path(spec["path"]), Path(spec["out"])
    return update_table_schema(path, summary, overrides, Limits(**spec["limits"]), out).to_dict()
