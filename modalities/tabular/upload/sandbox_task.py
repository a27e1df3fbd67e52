"""Subprocess side of read_table_in_sandbox."""

from pathlib import Path
from typing import Any

from core.datasets.source import SourceFile
from core.settings import Limits
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import SchemaOverrides


def run(spec: dict[str, Any]) -> dict[str, Any]:
    files = [SourceFile(Path(file["path"]), file["name"]) for file in spec["files"]]
    overrides, limits = SchemaOverrides.from_dict(spec["overrides"]), Limits(**spec["limits"])
    return read_table(files, overrides, limits, Path(spec["out"])).to_dict()
