"""Labeled images for training: bytes on disk or on a GPU, batches of floats in memory."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import split
from models.placement import CPU, has_room, upload
from models.split import UNLABELED

UPLOAD_CHUNK = 4_096  # images


@dataclass
class LabeledImages:
    """Images with their labels and their split.

    `pixels` is (N, H, W) or (N, H, W, 3) uint8, usually memory-mapped; `labels` is (N,). `train`,
    `holdout` and `unlabeled` are indices of images. Batches are on `device`; `resident` holds all
    pixels there, or is None if they do not fit.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    train: NDArray[np.int64]
    holdout: NDArray[np.int64]
    unlabeled: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    device: torch.device = CPU
    resident: Tensor | None = None

    @classmethod
    def split(
        cls,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int32],
        *,
        holdout_fraction: float,
        seed: int,
    ) -> Self:
        """Create a split with a fraction of each label as holdout (see stratified_split)."""
        train, holdout = split.stratified_split(labels, holdout_fraction, seed)
        return cls(pixels, labels, train, holdout, np.flatnonzero(labels == UNLABELED))

    def on(self, device: torch.device) -> Self:
        """Return the images with batches on a device.

        The pixels are copied to a GPU if they leave half of its free memory. Otherwise each batch
        is copied from pinned memory, while the GPU computes earlier steps.
        """
        if device == self.device:
            return self
        resident = None
        if has_room(device, self.pixels.nbytes):
            resident = torch.empty(self.pixels.shape, dtype=torch.uint8, device=device)
            for start in range(0, len(self.pixels), UPLOAD_CHUNK):
                chunk = np.array(self.pixels[start : start + UPLOAD_CHUNK])  # writable, for torch
                resident[start : start + len(chunk)] = torch.from_numpy(chunk).to(device)
        return replace(self, device=device, resident=resident)

    def assign_labels(self, indices: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
        """Add images to the training split with these labels; drop all other unlabeled images."""
        self.labels = self.labels.copy()
        self.labels[indices] = labels
        self.train = np.sort(np.concatenate([self.train, indices]))
        self.unlabeled = np.empty(0, np.int64)

    def batch(self, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return (B, C, H, W) floats in [-1, 1] and (B,) labels."""
        if self.resident is not None:
            rows = upload(torch.from_numpy(index), self.device)
            pixels = self.resident.index_select(0, rows)
        else:
            host_pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[index]))
            pixels = upload(host_pixels, self.device)
        labels = torch.from_numpy(self.labels[index]).long()
        return to_floats(pixels), upload(labels, self.device)


def to_floats(pixels: Tensor) -> Tensor:
    """Convert (B, H, W) or (B, H, W, 3) bytes to (B, C, H, W) floats in [-1, 1]."""
    images = pixels.float().div_(127.5).sub_(1)
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)


class ImageBatches:
    """Shuffled training batches, selected by (seed, step) only.

    A resumed run therefore sees the same batches as an uninterrupted one. The share of a label in
    an epoch is proportional to the square root of its number of images, so that rare labels are
    learned too. If all labels have the same number of images, an epoch contains each image once.
    """

    def __init__(
        self,
        data: LabeledImages,
        size: int,
        seed: int,
        noise_size: int = 0,
        uniforms_size: int = 0,
    ) -> None:
        """With a `noise_size`, batches have (B, noise_size) standard normal noise.

        With a `uniforms_size`, they also have (B, uniforms_size) numbers from 0 to 1.
        """
        self.size, self.noise_size, self._data, self._seed = size, noise_size, data, seed
        self.uniforms_size = uniforms_size
        self._epoch = -1
        self._order = np.empty(0, np.int64)
        labels = data.labels[data.train]
        by_label = np.argsort(labels, kind="stable")
        counts = np.bincount(labels)
        self._groups = np.split(data.train[by_label], np.cumsum(counts)[:-1])
        quotas = np.sqrt(counts) / np.sqrt(counts).sum() * len(data.train)
        # A rounding error must not add an image to a quota that is an integer.
        self._quotas = np.ceil(quotas - 1e-9).astype(np.int64)

    def batch_at(self, step: int) -> tuple[Tensor, ...]:
        """Return images, labels and, if they have a size, noise and uniforms, in this order.

        Steps count from 0.
        """
        images, labels = self._data.batch(self._indices_at(step))
        if not self.noise_size:
            return images, labels
        noise = upload(torch.randn(len(labels), self.noise_size), self._data.device)
        if not self.uniforms_size:
            return images, labels, noise
        uniforms = torch.rand(len(labels), self.uniforms_size)
        return images, labels, noise, upload(uniforms, self._data.device)

    def _indices_at(self, step: int) -> NDArray[np.int64]:
        n = len(self._data.train)
        if n <= self.size:  # there is only one batch: sample with replacement instead
            rng = np.random.default_rng((self._seed, step))
            indices: NDArray[np.int64] = self._data.train[rng.integers(n, size=self.size)]
            return indices
        epoch, batch_index = divmod(step, n // self.size)
        if epoch != self._epoch:
            self._order, self._epoch = self._shuffle(epoch), epoch
        index = self._order[batch_index * self.size : (batch_index + 1) * self.size]
        return np.sort(index)  # one read for images adjacent on disk

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        """Return the image order of an epoch.

        Each label fills its quota, and the images of a label occur equally often, give or take one.
        """
        rng = np.random.default_rng((self._seed, epoch))
        chosen = []
        for group, quota in zip(self._groups, self._quotas, strict=True):
            rounds = -(-quota // max(1, len(group)))
            permutations = [rng.permutation(group) for _ in range(rounds)]
            chosen.append(np.concatenate(permutations)[:quota] if permutations else group)
        return rng.permutation(np.concatenate(chosen))
