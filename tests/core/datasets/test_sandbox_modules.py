"""Modules that a sandbox process loads to read an upload."""

import sys
from typing import Any

from pydantic import BaseModel

from core.datasets.sandbox import run_in_sandbox


class Modules(BaseModel):
    names: list[str]


def report_loaded(modules: Modules) -> dict[str, Any]:
    """Import `modules`, and report which of pandas and torch are loaded then."""
    for name in modules.names:
        __import__(name)
    return {"loaded": sorted({"pandas", "torch"} & set(sys.modules))}


def test_reading_an_upload_loads_neither_pandas_nor_torch() -> None:
    """The development packages include pandas, which pyarrow would import."""
    names = ["modalities.tabular.upload.reading", "modalities.image.upload.reading"]
    report = run_in_sandbox(f"{__name__}:report_loaded", Modules(names=names), timeout_s=60)
    assert report == {"loaded": []}
