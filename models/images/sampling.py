"""A trained generator, ready to draw: noise and labels in, pixels out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import UnreadableCheckpoint
from models.images.networks import Generator
from models.images.settings import ImageSettings

BATCH = 64  # one fixed shape: an item does not depend on how many are drawn with it


@dataclass(frozen=True)
class ImageSampler:
    network: Generator
    bytes: int
    batch: int = BATCH

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Self:
        """Raises UnreadableCheckpoint when the file holds no image model."""
        if header.get("kind") != "images":
            raise UnreadableCheckpoint("not an image model")
        network = Generator(ImageSettings.from_dict(header["config"]))
        network.load_state_dict(dict(tensors))
        network = network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
        return cls(network, sum(t.numel() * t.element_size() for t in tensors.values()))

    @property
    def noise_size(self) -> int:
        return self.network.settings.noise

    @torch.inference_mode()
    def draw(self, noise: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(B, Z) noise and (B,) labels to (B, H, W) or (B, H, W, 3) pixels."""
        images = self.network(torch.from_numpy(noise), torch.from_numpy(labels))
        return to_pixels(images)


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, C, H, W) floats in [-1, 1] to (B, H, W) or (B, H, W, 3) bytes."""
    scaled = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
    if scaled.shape[1] == 1:
        return np.ascontiguousarray(scaled[:, 0].numpy())
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())
