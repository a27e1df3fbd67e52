"""Settings of `vae_gan` and `cvae`, and their defaults. This module does not import torch."""

import math
from dataclasses import dataclass
from typing import Any

from models.images.settings import PRESETS, ImageData, ImageSettings
from models.settings import PROCESS_BYTES, InvalidSettings, StepCost, setting

ARCHITECTURES = ("vae_gan", "cvae")


@dataclass(frozen=True, kw_only=True)
class VaeGanSettings(ImageSettings):
    coarse_channels: int = setting(
        "Channels of the generator's coarsest layer. Default: 64 for preset `fast`, 128 for "
        "`balanced`, 192 for `quality`; twice as many for jobs on a GPU.",
        ge=4,
        le=1024,
    )
    fine_channels: int = setting(
        "Channels of the generator's finest layer. Default: 16 for preset `fast`, 32 for "
        "`balanced`, 48 for `quality`; twice as many for jobs on a GPU.",
        ge=4,
        le=512,
    )
    residual_blocks: int = setting(
        "Residual convolutions at the generator's coarsest layer. Default: 2.", ge=0, le=16
    )
    prior_components: int = setting(
        "Maximum number of Gaussians per label in the latent prior. Default: 10.", ge=1, le=100
    )
    prior_scale: float = setting(
        "Factor on the standard deviations of a latent prior with several Gaussians per label. "
        "Default: 1.15 for preset `fast`, otherwise 1.3.",
        ge=0,
        le=10,
    )

    pixel_weight: float = setting(
        "Weight of the squared reconstruction error of pixels. Default: 10.", ge=0, le=1000
    )
    feature_weight: float = setting(
        "Weight of the squared reconstruction error of features. Default: 1; 0 for `cvae`.",
        ge=0,
        le=1000,
    )
    kl_weight: float = setting(
        "Weight of the KL divergence of the latents from a standard normal. Default: 0.01.",
        ge=0,
        le=1000,
    )
    adversarial_weight: float = setting(
        "Weight of the adversarial loss of the generator. Default: 1; 0 for `cvae`.", ge=0, le=1000
    )
    critic_start_fraction: float = setting(
        "Share of the budget after which the critic joins. Default: 0.2; 1 for `cvae`.", ge=0, le=1
    )
    prior_budget_fraction: float = setting(
        "Share of the budget, at the end, for fitting the latent prior and for the last metrics. "
        "Default: the share of 3 seconds, or more for large images; between 0.02 and 0.18, and 0 "
        "if the budget is not a time.",
        ge=0,
        le=0.5,
    )

    @property
    def halvings(self) -> int:
        """Number of halvings of the side from the image to the generator's coarsest layer."""
        return max(2, round(math.log2(max(self.height, self.width) / 8)))

    @property
    def base(self) -> tuple[int, int]:
        """Height and width of the coarsest layer."""
        scale = 2**self.halvings
        return -(-self.height // scale), -(-self.width // scale)


# CPU time after the last step: to encode 30,000 small images and to fit the prior, and for each
# further pixel of an image. A short run encodes fewer images (VaeGan.finalize).
PRIOR_SECONDS, SECONDS_PER_PIXEL = 3.0, 2.5e-4
SMALL_IMAGE_PIXELS = 28 * 28


def defaults(data: ImageData, preset: str, architecture: str) -> dict[str, Any]:
    scales = PRESETS[data.device][preset]
    values: dict[str, Any] = {
        "loss": "relativistic",
        "latent_dim": default_latent_dim(data),
        "coarse_channels": round(64 * scales.generator_scale),
        "fine_channels": round(16 * scales.generator_scale),
        "residual_blocks": 2,
        "critic_width": round(64 * scales.critic_scale),
        "feature_width": 16,
        "prior_components": 10,
        # Longer presets tolerate a wider prior.
        "prior_scale": 1.15 if preset == "fast" else 1.3,
        "batch_size": min(scales.batch_size, max(2, data.n_images // 2)),
        "generator_lr": 2e-3,
        "feature_lr": 3e-3,
        "critic_lr": 2e-3,
        "beta1": 0.0,
        "beta2": 0.99,
        "pixel_weight": 10.0,
        "feature_weight": 1.0,
        "kl_weight": 0.01,
        "adversarial_weight": 1.0,
        "r1_gamma_start": 0.3,
        "r1_gamma_end": 0.03,
        "r1_interval": 8,
        "augmentation_target": 0.0,
        "feature_budget_fraction": 0.05,
        "critic_start_fraction": 0.2,
        "prior_budget_fraction": default_prior_budget_fraction(data),
        "ema_decay": 0.998,
        "log_interval": 100,
    }
    if architecture == "cvae":  # the same networks, trained on the likelihood of pixels only
        values |= {
            "loss": "elbo",
            "feature_weight": 0.0,
            "adversarial_weight": 0.0,
            "critic_start_fraction": 1.0,
        }
    return values


def default_prior_budget_fraction(data: ImageData) -> float:
    """Return the share of the budget that the work after the last step needs."""
    if not data.budget_seconds:
        return 0.0
    further_pixels = max(0, data.height * data.width - SMALL_IMAGE_PIXELS)
    prior = min(0.06, PRIOR_SECONDS / data.budget_seconds)
    return max(0.02, prior + min(0.12, SECONDS_PER_PIXEL * further_pixels / data.budget_seconds))


def default_latent_dim(data: ImageData) -> int:
    if data.channels > 1:
        return 64
    return 48 if data.n_images >= 500 * data.classes else 32


def check(settings: VaeGanSettings) -> None:
    """Check the order of the training phases.

    Raises:
        InvalidSettings: The critic would join before the feature network is trained.
    """
    if settings.critic_start_fraction < settings.feature_budget_fraction:
        raise InvalidSettings(
            "critic_start_fraction",
            "`critic_start_fraction` must not be less than `feature_budget_fraction`.",
        )


# Measured on sizes from 8 x 8 to 256 x 256 and batches of 32 and 128, relative to a matrix product:
# a step has this efficiency, and a constant overhead. At 256 x 256, a step takes 30 % longer.
EFFICIENCY = 0.66
OVERHEAD_GFLOP = 1.0


def cost(settings: VaeGanSettings) -> StepCost:
    """Estimate the cost of a step: a forward pass of each network, and twice that for backward."""
    h, w = settings.base
    base, image = h * w, settings.height * settings.width
    generator = 9.0 * settings.coarse_channels**2 * settings.residual_blocks * base
    generator += 36 * settings.fine_channels * settings.channels * image / 4
    critic = 9 * settings.critic_width * (16 * settings.channels * image / 16)
    critic += 9 * settings.critic_width * 1.5 * settings.critic_width * image / 64
    features = 9 * settings.feature_width**2 * (6 * image / 16)
    dense = 256 * (
        2 * settings.feature_width * image / 16 + 1.5 * settings.critic_width * image / 64
    )
    multiplications = generator + 2.5 * critic + 1.5 * features + dense
    flop = 6 * settings.batch_size * multiplications / EFFICIENCY
    activations = (
        settings.batch_size * image * (settings.fine_channels + settings.critic_width / 4 + 8)
    )
    return StepCost(
        flop / 1e9 + OVERHEAD_GFLOP, int(PROCESS_BYTES + 16 * dense + 4 * 3 * activations)
    )
