"""Interpolation between two images, in latent space and between labels."""

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
    """Return (steps, H, W[, 3]) images; the first and the last are the endpoints themselves.

    `steps` is at most the batch size. No other thread may use the sampler at the same time, because
    the labels are mixed by hooks on the generator's embeddings.
    """
    first, last = (_latent(sampler, endpoint, truncation) for endpoint in endpoints)
    share = torch.zeros(sampler.batch_size)
    share[:steps] = torch.linspace(0, 1, steps)
    share = share.to(sampler.device)
    # Standard normal noise concentrates near a sphere, so the path must follow it (White 2016,
    # 1609.04468). A fitted prior does not, so a straight line is right for it.
    interpolate_latents = torch.lerp if sampler.prior is not None else _slerp
    z = interpolate_latents(first, last, share[:, None])
    y = torch.full((sampler.batch_size,), endpoints[0].label, device=sampler.device)
    with _mixed_labels(sampler.generator, endpoints[1].label, share):
        return to_pixels(sampler.generator(z, y))[:steps]


def _latent(sampler: ImageSampler, endpoint: LatentEndpoint, truncation: float) -> Tensor:
    """Return (B, Z) with equal rows.

    The shape is that of a sampling batch, so that the endpoints equal the samples exactly.
    """
    indices = np.array([endpoint.index], np.int64)
    z = torch.from_numpy(noise.normals(endpoint.seed, indices, sampler.noise_size))
    # With a prior, z[0] selects the mixture component: truncation does not apply to it.
    z[:, int(sampler.prior is not None) :] *= truncation
    z = z.repeat(sampler.batch_size, 1).to(sampler.device)
    y = torch.full((sampler.batch_size,), endpoint.label, device=sampler.device)
    return sampler.prior(z, y) if sampler.prior is not None else z


def _slerp(first: Tensor, last: Tensor, share: Tensor) -> Tensor:
    """Interpolate along the great circle (Shoemake 1985); linearly if both ends are parallel."""
    lengths = [end.norm(dim=1, keepdim=True).clamp_min(1e-12) for end in (first, last)]
    cosine = (first * last).sum(1, keepdim=True) / (lengths[0] * lengths[1])
    angle = cosine.clamp(-1, 1).acos()
    spherical = ((1 - share) * angle).sin() / angle.sin() * first + (
        share * angle
    ).sin() / angle.sin() * last
    linear = torch.lerp(first, last, share)
    return torch.where((angle.sin() < 1e-4) | (share == 0) | (share == 1), linear, spherical)


@contextmanager
def _mixed_labels(network: nn.Module, last_label: int, share: Tensor) -> Iterator[None]:
    """Mix the output of every label embedding with that of `last_label` inside the context."""

    def mix(embedding: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        assert isinstance(embedding, nn.Embedding)  # noqa: S101 - hooked below
        return torch.lerp(output, embedding.weight[last_label], share[:, None].to(output.dtype))

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
