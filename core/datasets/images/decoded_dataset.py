"""What every format comes to, once its pixels are in x.npy: what is left to count and to judge."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.datasets.data_quality import Issue


@dataclass(frozen=True)
class DecodedDataset:
    format: str
    class_names: list[str]
    y: NDArray[np.int32]  # in the order of x.npy: the training part, then the held-out one
    n_train: int
    size: tuple[int, int]
    channels: int
    name_of: Callable[[int], str]  # what the client calls an image, by its place in x.npy
    notes: list[str]
    issues: list[Issue]
