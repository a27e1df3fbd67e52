"""Result of every reader once the pixels are in x.npy; `finalize` creates the summary."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.data_quality import Issue


@dataclass(frozen=True)
class DecodedDataset:
    format: str
    class_names: list[str]
    y: NDArray[np.int32]  # in the order of x.npy: the training split, then the test split
    n_train: int
    size: tuple[int, int]  # height, width
    channels: int
    name_of: Callable[[int], str]  # index in x.npy to the client's name of the image
    notes: list[str]
    issues: list[Issue]
    layout: dict[str, Any] | None = None  # see ImageSummary.layout
