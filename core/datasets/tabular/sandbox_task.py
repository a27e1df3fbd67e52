"""Subprocess side of read_table_in_sandbox."""

from pathlib import Path
from typing import Any

from core.datasets.source import SourceFile
from core.datasets.tabular.reading import read_table
from core.datasets.tabular.schema_overrides import SchemaOverrides
from core.settings import Limits


def run(spec: dict[str, Any]) -> dict[str, Any]:
    files = [SourceFile(Path(file["path"]), file["name"]) for file in spec["files"]]
    overrides, limits = SchemaOverrides.from_dict(spec["overrides"]), Limits(**spec["limits"])
    return read_table(files, overrides, limits, Path(spec["out"])).to_dict()
