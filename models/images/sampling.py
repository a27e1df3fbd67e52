"""Trained image generator: maps noise and labels to pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import UnreadableCheckpoint, weights_of
from models.images.adversarial import networks
from models.images.adversarial.settings import AdversarialSettings
from models.images.architectures import settings_from_dict
from models.images.sample_scorer import SampleScorer
from models.images.settings import CONTENT, ImageSettings
from models.images.vae_gan.latent_prior import LatentPrior
from models.images.vae_gan.networks import Generator
from models.images.vae_gan.settings import VaeGanSettings
from models.images.weights import channels_last
from models.placement import CPU, upload

BATCH_SIZE = 64  # fixed, because results may differ in the last digits between batch shapes


@dataclass(frozen=True)
class ImageSampler:
    """Generator with its latent prior and its scorer.

    `prior` maps standard normal noise to the encoder's latents. It is None for architectures
    without an encoder, whose generator takes the noise directly.
    """

    settings: ImageSettings
    generator: nn.Module
    prior: LatentPrior | None
    scorer: SampleScorer
    bytes: int
    device: torch.device = CPU
    batch_size: int = BATCH_SIZE

    @classmethod
    def load(
        cls,
        tensors: Mapping[str, Tensor],
        header: Mapping[str, Any],
        device: torch.device = CPU,
    ) -> Self:
        """Create a sampler from a checkpoint, on a device.

        Raises:
            UnreadableCheckpoint: The checkpoint is not an image model, or no installed package
                provides its architecture.
        """
        if header.get("modality") != CONTENT:
            raise UnreadableCheckpoint("The checkpoint is not an image model.")
        settings = settings_from_dict(header["hyperparameters"])
        generator = _create_generator(settings)
        generator.load_state_dict(weights_of("generator", tensors))
        generator.eval().requires_grad_(False)
        prior = None
        if prior_weights := weights_of("prior", tensors):
            prior = LatentPrior.empty_like(prior_weights)
            prior.load_state_dict(prior_weights)
            prior.to(device).eval().requires_grad_(False)
        scorer = SampleScorer.load(settings, tensors, header, BATCH_SIZE, device)
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        return cls(settings, channels_last(generator).to(device), prior, scorer, size, device)

    @property
    def noise_size(self) -> int:
        return self.settings.latent_dim + (self.prior is not None)

    @torch.inference_mode()
    def sample(self, latents: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Map (B, noise_size) standard normal noise and (B,) labels to (B, H, W[, 3]) pixels."""
        z = upload(torch.from_numpy(latents), self.device)
        y = upload(torch.from_numpy(labels), self.device)
        return to_pixels(self.generator(self.prior(z, y) if self.prior else z, y))


def _create_generator(settings: ImageSettings) -> nn.Module:
    if isinstance(settings, VaeGanSettings):
        return Generator(settings)
    assert isinstance(settings, AdversarialSettings)  # noqa: S101 - the only other class
    try:
        return networks.get_network_factory(settings.architecture).generator(settings)
    except KeyError as error:
        raise UnreadableCheckpoint(str(error.args[0])) from error


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Convert (B, C, H, W) floats in [-1, 1] to (B, H, W) or (B, H, W, 3) bytes."""
    scaled = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
    if scaled.shape[1] == 1:
        return np.ascontiguousarray(scaled[:, 0].numpy())
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())
