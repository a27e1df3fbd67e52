"""Detection of the functions that read training rows."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from models.tabular.data import LabeledRows

ROW_COUNT = 211  # rows of the traced table; no other object has this size
PACKAGES = ("app", "core", "job_kinds", "modalities", "models", "worker")


def find_functions_reading_rows(work: Callable[[], object]) -> set[str]:
    """Return the functions of our packages that `work` calls with rows.

    A function counts if it holds the rows themselves or any array with one entry per row, itself or
    in an attribute of one of our objects.
    """
    functions: set[str] = set()

    def record(frame: FrameType, event: str, _: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event != "call" or module.split(".")[0] not in PACKAGES:
            return
        values = list(frame.f_locals.values())
        for value in values[:]:
            if type(value).__module__.split(".")[0] in PACKAGES:
                values += getattr(value, "__dict__", {}).values()
        if any(map(_has_an_entry_per_row, values)):
            functions.add(f"{module}.{frame.f_code.co_qualname}")

    sys.setprofile(record)
    try:
        work()
    finally:
        sys.setprofile(None)
    return functions


def _has_an_entry_per_row(value: Any) -> bool:
    if isinstance(value, LabeledRows):
        return True
    if isinstance(value, torch.Tensor | np.ndarray):
        return ROW_COUNT in value.shape
    return isinstance(value, pa.Table | pa.RecordBatch | pa.Array | pa.ChunkedArray) and (
        len(value) == ROW_COUNT
    )
