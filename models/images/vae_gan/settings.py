"""The settings of `vae_gan` and `cvae`, and the rules that choose them. Free of torch."""

import math
from dataclasses import dataclass
from typing import Any

from models.images.settings import PRESETS, ImageData, ImageSettings
from models.settings import PROCESS_BYTES, InvalidSettings, StepCost, setting

ARCHITECTURES = ("vae_gan", "cvae")


@dataclass(frozen=True, kw_only=True)
class VaeGanSettings(ImageSettings):
    coarse_channels: int = setting("channels of the generator's coarsest layer", ge=4, le=1024)
    fine_channels: int = setting("channels of the generator's finest layer", ge=4, le=512)
    residual_blocks: int = setting(
        "residual convolutions at the generator's coarsest layer", ge=0, le=16
    )
    prior_components: int = setting("Gaussians in the prior of a label, at most", ge=1, le=100)
    prior_scale: float = setting(
        "how far the prior draws from the centre of each of several Gaussians, beside what it was "
        "fitted to",
        ge=0,
        le=10,
    )

    pixel_weight: float = setting("of the squared error of pixels", ge=0, le=1000)
    feature_weight: float = setting("of the squared error of features", ge=0, le=1000)
    kl_weight: float = setting("of the divergence from a standard normal", ge=0, le=1000)
    adversarial_weight: float = setting("of the critic's pull on the generator", ge=0, le=1000)
    critic_start_fraction: float = setting(
        "share of the budget at which the critic joins", ge=0, le=1
    )
    prior_budget_fraction: float = setting(
        "share of the budget for the prior, at the end", ge=0, le=0.5
    )

    @property
    def halvings(self) -> int:
        """How often the side is halved between the image and the generator's coarsest layer."""
        return max(2, round(math.log2(max(self.height, self.width) / 8)))

    @property
    def base(self) -> tuple[int, int]:
        """Height and width of the coarsest layer."""
        scale = 2**self.halvings
        return -(-self.height // scale), -(-self.width // scale)


PRIOR_SECONDS = 3.0  # what it takes to encode 30,000 images and to fit the prior to them


def defaults(data: ImageData, preset: str, architecture: str) -> dict[str, Any]:
    wide = PRESETS[preset]
    values: dict[str, Any] = {
        "loss": "relativistic",
        "latent_dim": default_latent_dim(data),
        "coarse_channels": round(64 * wide.generator_scale),
        "fine_channels": round(16 * wide.generator_scale),
        "residual_blocks": 2,
        "critic_width": round(64 * wide.critic_scale),
        "feature_width": 16,
        "prior_components": 10,
        "prior_scale": 1.15 if preset == "fast" else 1.3,  # the more it has learned, the further
        "batch_size": min(32, max(2, data.n_images // 2)),
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
        "feature_budget_fraction": 0.05,
        "critic_start_fraction": 0.2,
        "prior_budget_fraction": min(0.05, PRIOR_SECONDS / data.cpu_seconds)
        if data.cpu_seconds
        else 0.0,
        "ema_decay": 0.998,
        "log_interval": 100,
    }
    if architecture == "cvae":  # the same networks, by the likelihood of pixels alone
        values |= {
            "loss": "elbo",
            "feature_weight": 0.0,
            "adversarial_weight": 0.0,
            "critic_start_fraction": 1.0,
        }
    return values


def default_latent_dim(data: ImageData) -> int:
    if data.channels > 1:
        return 64
    return 48 if data.n_images >= 500 * data.classes else 32


def check(settings: VaeGanSettings) -> None:
    """Raises InvalidSettings."""
    if settings.critic_start_fraction < settings.feature_budget_fraction:
        raise InvalidSettings("critic_start_fraction", "must not be below feature_budget_fraction")


# Measured on sizes from 8 x 8 to 128 x 128 and batches of 32 and 128: a step takes what a matrix
# product of so much work would, and some more whatever its size.
EFFICIENCY = 0.66
OVERHEAD_GFLOP = 1.0


def cost(settings: VaeGanSettings) -> StepCost:
    """What a step takes: each network forward, and twice as much back."""
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
