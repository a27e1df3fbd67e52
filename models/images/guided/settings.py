"""The settings of `guided` and `cvae`, and the rules that choose them. Free of torch."""

import math
from dataclasses import dataclass
from typing import Any

from models.images.settings import PRESETS, ImageData, ImageSettings
from models.settings import PROCESS_BYTES, Cost, InvalidSettings, setting

ARCHITECTURES = ("guided", "cvae")


@dataclass(frozen=True, kw_only=True)
class GuidedSettings(ImageSettings):
    coarse_width: int = setting("channels of the generator's coarsest layer", ge=4, le=1024)
    fine_width: int = setting("channels of the generator's finest layer", ge=4, le=512)
    blocks: int = setting("residual convolutions at the generator's coarsest layer", ge=0, le=16)
    components: int = setting("Gaussians in the prior of a label, at most", ge=1, le=100)
    spread: float = setting(
        "how far the prior draws from the centre of each of several Gaussians, beside what it was "
        "fitted to",
        ge=0,
        le=10,
    )

    pixel_weight: float = setting("of the squared error of pixels", ge=0, le=1000)
    feature_weight: float = setting("of the squared error of features", ge=0, le=1000)
    kl_weight: float = setting("of the divergence from a standard normal", ge=0, le=1000)
    adversarial_weight: float = setting("of the critic's pull on the generator", ge=0, le=1000)
    critic_from: float = setting("share of the budget at which the critic joins", ge=0, le=1)
    prior_share: float = setting("share of the budget for the prior, at the end", ge=0, le=0.5)

    @property
    def halvings(self) -> int:
        """How often the side is halved between the image and the generator's coarsest layer."""
        return max(2, round(math.log2(max(self.height, self.width) / 8)))

    @property
    def base(self) -> tuple[int, int]:
        """Height and width of the coarsest layer."""
        scale = 2**self.halvings
        return -(-self.height // scale), -(-self.width // scale)


PRIOR_S = 3.0  # what it takes to encode 30,000 images and to fit the prior to them


def defaults(data: ImageData, preset: str, architecture: str) -> dict[str, Any]:
    wide = PRESETS[preset]
    values: dict[str, Any] = {
        "loss": "relativistic",
        "noise": noise(data),
        "coarse_width": round(64 * wide.generator),
        "fine_width": round(16 * wide.generator),
        "blocks": 2,
        "critic_width": round(64 * wide.critic),
        "feature_width": 16,
        "components": 10,
        "spread": 1.15 if preset == "fast" else 1.3,  # the more it has learned, the further
        "batch": min(32, max(2, data.images // 2)),
        "rate": 2e-3,
        "feature_rate": 3e-3,
        "critic_rate": 2e-3,
        "beta1": 0.0,
        "beta2": 0.99,
        "pixel_weight": 10.0,
        "feature_weight": 1.0,
        "kl_weight": 0.01,
        "adversarial_weight": 1.0,
        "penalty_start": 0.3,
        "penalty_end": 0.03,
        "penalty_every": 8,
        "features_until": 0.05,
        "critic_from": 0.2,
        "prior_share": min(0.05, PRIOR_S / data.cpu_seconds) if data.cpu_seconds else 0.0,
        "average": 0.998,
        "log_every": 100,
    }
    if architecture == "cvae":  # the same networks, by the likelihood of pixels alone
        values |= {
            "loss": "likelihood",
            "feature_weight": 0.0,
            "adversarial_weight": 0.0,
            "critic_from": 1.0,
        }
    return values


def noise(data: ImageData) -> int:
    if data.channels > 1:
        return 64
    return 48 if data.images >= 500 * data.classes else 32


def check(settings: GuidedSettings) -> None:
    """Raises InvalidSettings."""
    if settings.critic_from < settings.features_until:
        raise InvalidSettings("critic_from", "must not be below features_until")


# Measured on sizes from 8 x 8 to 128 x 128 and batches of 32 and 128: a step takes what a matrix
# product of so much work would, and some more whatever its size.
EFFICIENCY = 0.66
OVERHEAD_GFLOP = 1.0


def cost(settings: GuidedSettings) -> Cost:
    """What a step takes: each network forward, and twice as much back."""
    h, w = settings.base
    base, image = h * w, settings.height * settings.width
    generator = 9.0 * settings.coarse_width**2 * settings.blocks * base
    generator += 36 * settings.fine_width * settings.channels * image / 4
    critic = 9 * settings.critic_width * (16 * settings.channels * image / 16)
    critic += 9 * settings.critic_width * 1.5 * settings.critic_width * image / 64
    features = 9 * settings.feature_width**2 * (6 * image / 16)
    dense = 256 * (
        2 * settings.feature_width * image / 16 + 1.5 * settings.critic_width * image / 64
    )
    multiplications = generator + 2.5 * critic + 1.5 * features + dense
    flop = 6 * settings.batch * multiplications / EFFICIENCY
    activations = settings.batch * image * (settings.fine_width + settings.critic_width / 4 + 8)
    return Cost(flop / 1e9 + OVERHEAD_GFLOP, int(PROCESS_BYTES + 16 * dense + 4 * 3 * activations))
