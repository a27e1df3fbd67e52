"""Settings of the architectures that learn from their critic only. Free of torch.

The defaults are the values with which each architecture learns. bench/images.py has the values that
were published with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.images.settings import PRESETS, ImageData, ImageSettings
from models.settings import PROCESS_BYTES, InvalidSettings, StepCost, setting

NORMS = ("none", "batch")
OVERHEAD_GFLOP = 1.0  # per step, independent of the networks


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings(ImageSettings):
    generator_width: int = setting(
        "Channels or units of the generator's widest layer. Default: 128 for preset `fast`, 256 "
        "for `balanced`, 384 for `quality`; half of that for `r3gan`; twice as many for jobs on a "
        "GPU.",
        ge=4,
        le=2048,
    )
    critic_norm: str = setting(
        "Normalization between the critic's layers: `none` or `batch`. Default: `none`."
    )
    label_embedding_std: float = setting(
        "Initial standard deviation of the label embeddings. Default: 1.", gt=0, le=10
    )


_ARCHITECTURE_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "cgan": {"generator_width": 128, "critic_width": 64, "latent_dim": 100},
    "dcgan": {"generator_width": 128, "critic_width": 32, "latent_dim": 100},
    "mlp": {"generator_width": 128, "critic_width": 128, "latent_dim": 100},
    "r3gan": {
        "generator_width": 64,
        "critic_width": 64,
        "latent_dim": 64,
        "generator_lr": 2e-4,
        "critic_lr": 2e-4,
    },
}
ARCHITECTURES = tuple(_ARCHITECTURE_DEFAULTS)


def defaults(data: ImageData, preset: str, architecture: str) -> dict[str, Any]:
    scales = PRESETS[data.device][preset]
    values: dict[str, Any] = {
        "loss": "relativistic",
        "latent_dim": 64,
        "generator_width": 128,
        "critic_width": 64,
        "critic_norm": "none",
        "label_embedding_std": 1.0,
        "batch_size": 2 * scales.batch_size,
        "generator_lr": 1e-3,
        "critic_lr": 1e-3,
        "beta1": 0.0,
        "beta2": 0.99,
        "r1_gamma_start": 0.3,
        "r1_gamma_end": 0.03,
        "r1_interval": 8,
        "ema_decay": 0.998,
        "feature_width": 16,
        "feature_lr": 3e-3,
        "augmentation_target": 0.0,
        "feature_budget_fraction": 0.05,
        "log_interval": 100,
    } | dict(_ARCHITECTURE_DEFAULTS.get(architecture, {}))
    values["generator_width"] = round(values["generator_width"] * scales.generator_scale)
    values["critic_width"] = round(values["critic_width"] * scales.critic_scale)
    return values


def check(settings: AdversarialSettings) -> None:
    """Check the settings that have no numeric bounds.

    Raises:
        InvalidSettings: `critic_norm` is not allowed.
    """
    if settings.critic_norm not in NORMS:
        raise InvalidSettings("critic_norm", f"`critic_norm` must be one of {', '.join(NORMS)}.")


def cost(settings: AdversarialSettings) -> StepCost:
    """Estimate the cost of a step: a forward pass of each network, and twice that for backward.

    Registered networks are assumed to cost as much as `dcgan`.
    """
    width, area = settings.generator_width, settings.height * settings.width
    image = area * settings.channels
    generator: float
    critic: float
    if settings.architecture == "mlp":
        generator, critic = width * (settings.latent_dim + image), settings.critic_width * image
    elif settings.architecture == "cgan":
        generator = width * area / 16 * (settings.latent_dim + 9 * width)
        critic = 9 * settings.critic_width * (image / 2 + settings.critic_width * area / 10)
    elif settings.architecture == "r3gan":  # two blocks of each stage; the stages cost the same
        generator = 2 * (4 * width**2 + 18 * 16 * width) * area / 16
        critic_width = settings.critic_width
        critic = 2 * (4 * critic_width**2 + 18 * 16 * critic_width) * area / 16
    else:
        generator = 16 * width**2 * area / 64
        critic = 16 * settings.critic_width * (image / 4 + settings.critic_width * area / 8)
    flop = 6 * settings.batch_size * (generator + 2.5 * critic)
    activations = settings.batch_size * area * (width / 4 + settings.critic_width)
    return StepCost(flop / 1e9 + OVERHEAD_GFLOP, int(PROCESS_BYTES + 12 * activations))
