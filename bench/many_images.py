"""Measure the memory of training on a million images: `python -m bench.many_images`.

The program writes small images to disk (discs whose position and size depend on the label), trains
on them memory-mapped, and prints the peak anonymous memory of the process during training (RssAnon
in /proc/self/status). Pages of the images in the page cache are not counted, because the system can
reclaim them at any time.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from models.images.architectures import resolve
from models.images.data import LabeledImages
from models.images.settings import ImageData
from models.images.training import train
from models.training_callbacks import PackedCheckpoint

SIDE, CLASSES, CHUNK_SIZE = 28, 10, 10_000


class Steps:
    """Training callbacks that end after `steps` steps and record the peak memory."""

    def __init__(self, steps: int) -> None:
        self.steps, self.peak_bytes = steps, 0

    def progress(self, step: int) -> float:
        self.peak_bytes = max(self.peak_bytes, anonymous_bytes())
        return step / self.steps

    def should_checkpoint(self, step: int) -> bool:
        return step > 0 and step % (self.steps // 4) == 0

    def should_preview(self, _step: int) -> bool:
        return False

    def report(self, step: int, metrics: dict[str, float]) -> None: ...

    def warn(self, step: int, message: str, code: str | None = None) -> None: ...

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None: ...

    def preview(self, step: int, grid: NDArray[np.uint8]) -> None: ...


def anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon; this program requires Linux.")


def make_discs(folder: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Write images of discs; return them memory-mapped, (N, 28, 28), and their labels, (N,)."""
    pixels = open_memmap(folder / "x.npy", mode="w+", dtype=np.uint8, shape=(count, SIDE, SIDE))
    labels = np.arange(count, dtype=np.int32) % CLASSES
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for start in range(0, count, CHUNK_SIZE):
        y = labels[start : start + CHUNK_SIZE, None, None]
        jitter = rng.normal(0, 1.5, (2, len(y), 1, 1))
        squared_distance = (rows - 8 - y - jitter[0]) ** 2 + (columns - 14 - jitter[1]) ** 2
        pixels[start : start + CHUNK_SIZE] = np.where(squared_distance < (3 + y / 2) ** 2, 220, 15)
    pixels.flush()
    return np.load(folder / "x.npy", mmap_mode="r"), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000, help="Number of images.")
    parser.add_argument("--steps", type=int, default=2_000, help="Number of training steps.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pixels, labels = make_discs(Path(folder), arguments.images)
        holdout = 1_000 / arguments.images
        data = LabeledImages.split(pixels, labels, holdout_fraction=holdout, seed=1)
        settings = resolve(ImageData(SIDE, SIDE, 1, CLASSES, arguments.images), "fast", {})
        run = Steps(arguments.steps)
        train(data, settings, run, seed=1)
    gigabytes = run.peak_bytes / 1e9
    print(
        f"{arguments.images:,} images, {run.steps:,} steps: {gigabytes:.2f} GB of anonymous memory"
    )


if __name__ == "__main__":
    main()
