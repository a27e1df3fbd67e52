"""Pixel statistics of an image dataset, overall and per label, computed in bounded memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 4_096  # images
HISTOGRAM_BINS = 16


@dataclass
class _PixelCounts:
    """Number of pixels of each value 0 to 255; all statistics are derived from it."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, pixels: NDArray[np.uint8]) -> None:
        self.counts += np.bincount(pixels.ravel(), minlength=256)

    def describe(self) -> dict[str, Any]:
        values, total = np.arange(256), self.counts.sum()
        mean = float(values @ self.counts / total)
        present = np.flatnonzero(self.counts)
        cumulative = np.cumsum(self.counts)
        quartiles = [int(np.searchsorted(cumulative, q * total)) for q in (0.25, 0.5, 0.75)]
        return {
            "mean": round(mean, 3),
            "std": round(float(np.sqrt((values - mean) ** 2 @ self.counts / total)), 3),
            "min": int(present[0]),
            "max": int(present[-1]),
            "quartiles": quartiles,
            "histogram": self.counts.reshape(HISTOGRAM_BINS, -1).sum(1).tolist(),
        }


def profile_images(x: Path, y: Path, labels: list[str], n_train: int) -> dict[str, Any]:
    """Return statistics of the training split: {"pixels": {…}, "by_label": {name: {…}}}."""
    images = np.load(x, mmap_mode="r", allow_pickle=False)[:n_train]
    label_indices = np.load(y, allow_pickle=False)[:n_train]
    overall, by_label = _PixelCounts(), [_PixelCounts() for _ in labels]
    for start in range(0, n_train, CHUNK):
        pixels = images[start : start + CHUNK]
        indices = label_indices[start : start + CHUNK]
        overall.add(pixels)
        for index in np.unique(indices[indices >= 0]):
            by_label[index].add(pixels[indices == index])
    return {
        "pixels": overall.describe(),
        "by_label": {
            name: pixel_counts.describe()
            for name, pixel_counts in zip(labels, by_label, strict=True)
            if pixel_counts.counts.any()
        },
    }
