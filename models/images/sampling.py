"""A trained generator, ready to draw: noise and labels in, pixels out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import UnreadableCheckpoint
from models.images.networks import Generator, channels_last
from models.images.prior import LatentPrior
from models.images.settings import ImageSettings

BATCH = 64  # one fixed shape: an item does not depend on how many are drawn with it


@dataclass(frozen=True)
class ImageSampler:
    generator: Generator
    prior: LatentPrior
    bytes: int
    batch: int = BATCH

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Self:
        """Raises UnreadableCheckpoint when the file holds no image model."""
        if header.get("kind") != "images":
            raise UnreadableCheckpoint("not an image model")
        parts: dict[str, dict[str, Tensor]] = {"generator": {}, "prior": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        generator = Generator(ImageSettings.from_dict(header["config"]))
        generator.load_state_dict(parts["generator"])
        prior = LatentPrior.shaped_like(parts["prior"])
        prior.load_state_dict(parts["prior"])
        for network in (generator, prior):
            network.eval().requires_grad_(False)
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        return cls(channels_last(generator), prior, size)

    @property
    def noise_size(self) -> int:
        return 1 + self.generator.settings.noise

    @torch.inference_mode()
    def draw(self, noise: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(B, 1 + Z) standard normal noise and (B,) labels to (B, H, W) or (B, H, W, 3) pixels."""
        y = torch.from_numpy(labels)
        return to_pixels(self.generator(self.prior(torch.from_numpy(noise), y), y))


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, C, H, W) floats in [-1, 1] to (B, H, W) or (B, H, W, 3) bytes."""
    scaled = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
    if scaled.shape[1] == 1:
        return np.ascontiguousarray(scaled[:, 0].numpy())
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())
