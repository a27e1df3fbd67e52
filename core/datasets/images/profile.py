"""Counts and pixel statistics of a set of images, in all and for each label; a pass over the file
in bounded memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 4_096
HISTOGRAM_BINS = 16


@dataclass
class _Sums:
    """Of pixel values 0 to 255: how often each occurs, from which all else follows."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, pixels: NDArray[np.uint8]) -> None:
        self.counts += np.bincount(pixels.ravel(), minlength=256)

    def describe(self) -> dict[str, Any]:
        values, total = np.arange(256), self.counts.sum()
        mean = float(values @ self.counts / total)
        seen = np.flatnonzero(self.counts)
        cumulated = np.cumsum(self.counts)
        quartiles = [int(np.searchsorted(cumulated, q * total)) for q in (0.25, 0.5, 0.75)]
        return {
            "mean": round(mean, 3),
            "std": round(float(np.sqrt((values - mean) ** 2 @ self.counts / total)), 3),
            "min": int(seen[0]),
            "max": int(seen[-1]),
            "quartiles": quartiles,
            "histogram": self.counts.reshape(HISTOGRAM_BINS, -1).sum(1).tolist(),
        }


def profile_images(x: Path, y: Path, labels: list[str], n_train: int) -> dict[str, Any]:
    """Of the part that is trained on: {"pixels": {…}, "by_label": {name: {…}}}."""
    images = np.load(x, mmap_mode="r", allow_pickle=False)[:n_train]
    indices = np.load(y, allow_pickle=False)[:n_train]
    whole, by_label = _Sums(), [_Sums() for _ in labels]
    for start in range(0, n_train, CHUNK):
        part, mine = images[start : start + CHUNK], indices[start : start + CHUNK]
        whole.add(part)
        for index in np.unique(mine[mine >= 0]):
            by_label[index].add(part[mine == index])
    return {
        "pixels": whole.describe(),
        "by_label": {
            name: sums.describe()
            for name, sums in zip(labels, by_label, strict=True)
            if sums.counts.any()
        },
    }
