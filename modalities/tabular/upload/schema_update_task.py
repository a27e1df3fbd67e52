"""Subprocess side of update_table_schema_in_sandbox."""

from pathlib import Path
from typing import Any

from core.settings import Limits
from modalities.tabular.upload.reading import update_table_schema
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from modalities.tabular.upload.summary import TableSummary


def run(spec: dict[str, Any]) -> dict[str, Any]:
    summary = TableSummary.from_dict(spec["summary"])
    overrides = SchemaOverrides.from_dict(spec["overrides"])
    path, out = Path(spec["path"]), Path(spec["out"])
    return update_table_schema(path, summary, overrides, Limits(**spec["limits"]), out).to_dict()
