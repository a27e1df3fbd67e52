"""The way from one image to another: noise and label change a little from step to step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import noise
from models.images.sampling import ImageSampler, to_pixels


@dataclass(frozen=True)
class LatentEndpoint:
    seed: int
    label: int
    index: int


@torch.inference_mode()
def interpolate(
    sampler: ImageSampler,
    endpoints: tuple[LatentEndpoint, LatentEndpoint],
    steps: int,
    truncation: float = 1.0,
) -> NDArray[np.uint8]:
    """(steps, H, W[, 3]), at most a batch of them; the first and the last are the items themselves.

    Nobody else may use the generator meanwhile: labels are mixed where it looks them up.
    """
    first, last = (_latent(sampler, item, truncation) for item in endpoints)
    share = torch.zeros(sampler.batch_size)
    share[:steps] = torch.linspace(0, 1, steps)
    # A fitted prior fills its space; normal noise lies on a sphere (White 2016, 1609.04468).
    path = torch.lerp if sampler.prior is not None else _slerp
    z = path(first, last, share[:, None])
    y = torch.full((sampler.batch_size,), endpoints[0].label)
    with _mixed_labels(sampler.generator, endpoints[1].label, share):
        return to_pixels(sampler.generator(z, y))[:steps]


def _latent(generator: ImageSampler, item: LatentEndpoint, truncation: float) -> Tensor:
    """(B, Z), the same in each row: made in the shape of a batch, as that of a sample is."""
    numbers = np.array([item.index], np.int64)
    z = torch.from_numpy(noise.normals(item.seed, numbers, generator.noise_size))
    z[:, int(generator.prior is not None) :] *= truncation
    z = z.repeat(generator.batch_size, 1)
    y = torch.full((generator.batch_size,), item.label)
    return generator.prior(z, y) if generator.prior is not None else z


def _slerp(first: Tensor, last: Tensor, share: Tensor) -> Tensor:
    """Shoemake 1985; straight where both point the same way."""
    lengths = [end.norm(dim=1, keepdim=True).clamp_min(1e-12) for end in (first, last)]
    cosine = (first * last).sum(1, keepdim=True) / (lengths[0] * lengths[1])
    angle = cosine.clamp(-1, 1).acos()
    bent = ((1 - share) * angle).sin() / angle.sin() * first + (
        share * angle
    ).sin() / angle.sin() * last
    straight = torch.lerp(first, last, share)
    return torch.where((angle.sin() < 1e-4) | (share == 0) | (share == 1), straight, bent)


@contextmanager
def _mixed_labels(network: nn.Module, other: int, share: Tensor) -> Iterator[None]:
    """Wherever a label is looked up, what is found is mixed with what is found for another one."""

    def mix(embedding: nn.Module, _inputs: Any, found: Tensor) -> Tensor:
        assert isinstance(embedding, nn.Embedding)  # noqa: S101 - hooked below
        return torch.lerp(found, embedding.weight[other], share[:, None].to(found.dtype))

    hooks = [
        module.register_forward_hook(mix)
        for module in network.modules()
        if isinstance(module, nn.Embedding)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
