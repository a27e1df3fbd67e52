"""Labelled images as the loop sees them: bytes on disk, batches of floats in memory."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import split
from models.split import UNLABELED


@dataclass
class LabeledImages:
    """`pixels` (N, H, W) or (N, H, W, 3) uint8, memory-mapped as a rule; `labels` (N,). Places of
    those to learn from, those kept for measuring, and those with no label."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    train: NDArray[np.int64]
    holdout: NDArray[np.int64]
    unlabeled: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def split(
        cls,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int32],
        *,
        holdout_fraction: float,
        seed: int,
    ) -> Self:
        """Keep a share of each label for measuring, at least one image where it has two."""
        train, apart = split.stratified_split(labels, holdout_fraction, seed)
        return cls(pixels, labels, train, apart, np.flatnonzero(labels == UNLABELED))

    def assign_labels(self, indices: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
        """From here on these images are learned from with these labels; those that are still
        without one are not."""
        self.labels = self.labels.copy()
        self.labels[indices] = labels
        self.train = np.sort(np.concatenate([self.train, indices]))
        self.unlabeled = np.empty(0, np.int64)

    def batch(self, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) floats in [-1, 1] and (B,) labels."""
        images = to_floats(np.ascontiguousarray(self.pixels[index]))
        return images, torch.from_numpy(self.labels[index]).long()


def to_floats(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, H, W) or (B, H, W, 3) bytes to (B, C, H, W) in [-1, 1]."""
    images = torch.from_numpy(pixels).float().div_(127.5).sub_(1)
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)


class ImageBatches:
    """An order of images that depends on (seed, epoch) alone: a run that is resumed at a step sees
    what an unbroken one would have seen.

    A label's share of an epoch goes with the square root of its images, so that a rare label is
    learned, too: where all have equally many, each image comes once an epoch.
    """

    def __init__(self, data: LabeledImages, size: int, seed: int) -> None:
        self._data, self._size, self._seed = data, size, seed
        self._epoch = -1
        self._order = np.empty(0, np.int64)
        labels = data.labels[data.train]
        by_label = np.argsort(labels, kind="stable")
        counts = np.bincount(labels)
        self._groups = np.split(data.train[by_label], np.cumsum(counts)[:-1])
        wanted = np.sqrt(counts) / np.sqrt(counts).sum() * len(data.train)
        self._wanted = np.ceil(wanted - 1e-9).astype(np.int64)

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step, which counts from 0."""
        n = len(self._data.train)
        if n <= self._size:  # a small set: drawn with replacement
            rng = np.random.default_rng((self._seed, step))
            return self._data.batch(self._data.train[rng.integers(n, size=self._size)])
        epoch, within = divmod(step, n // self._size)
        if epoch != self._epoch:
            self._order, self._epoch = self._drawn(epoch), epoch
        index = self._order[within * self._size : (within + 1) * self._size]
        return self._data.batch(np.sort(index))  # sorted: neighbours on disk are read together

    def _drawn(self, epoch: int) -> NDArray[np.int64]:
        """At least as many images as there are, those of a label as evenly often as can be."""
        rng = np.random.default_rng((self._seed, epoch))
        chosen = []
        for group, wanted in zip(self._groups, self._wanted, strict=True):
            rounds = -(-wanted // max(1, len(group)))
            turns = [rng.permutation(group) for _ in range(rounds)]
            chosen.append(np.concatenate(turns)[:wanted] if turns else group)
        return rng.permutation(np.concatenate(chosen))
