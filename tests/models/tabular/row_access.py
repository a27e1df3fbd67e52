"""Which functions of ours are given rows."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from models.tabular.data import LabeledRows

ROW_COUNT = 211  # of a table that is watched: nothing else has as many of anything
OURS = ("app", "core", "models", "worker")


def functions_reading_rows(work: Callable[[], object]) -> set[str]:
    """Every function of ours that `work` calls with the rows themselves, or with something of
    each of them.
    """
    found: set[str] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event != "call" or module.split(".")[0] not in OURS:
            return
        if any(map(_is_of_each_row, list(frame.f_locals.values()))):
            found.add(f"{module}.{frame.f_code.co_qualname}")

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def _is_of_each_row(value: Any) -> bool:
    if isinstance(value, LabeledRows):
        return True
    if isinstance(value, torch.Tensor | np.ndarray):
        return ROW_COUNT in value.shape
    return isinstance(value, pa.Table | pa.RecordBatch | pa.Array | pa.ChunkedArray) and (
        len(value) == ROW_COUNT
    )
