"""What the child does for read_rows_in_child."""

from pathlib import Path
from typing import Any

from core.datasets.rows.reading import read_rows
from core.datasets.rows.wanted import Wanted
from core.datasets.source import SourceFile
from core.settings import Limits


def run(spec: dict[str, Any]) -> dict[str, Any]:
    files = [SourceFile(Path(file["path"]), file["name"]) for file in spec["files"]]
    wanted, limits = Wanted.from_dict(spec["wanted"]), Limits(**spec["limits"])
    return read_rows(files, wanted, limits, Path(spec["out"])).to_dict()
