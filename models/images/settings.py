"""What a training run on images is made of, and the rules that choose it from the data.

Free of torch: the API resolves configurations with it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from models.settings import PROCESS_BYTES, Cost, InvalidSettings, check, setting

ARCHITECTURES = ("auto",)
LOSSES = ("relativistic",)


@dataclass(frozen=True)
class ImageData:
    """What the rules look at. `cpu_seconds` is the budget, if it is one of time."""

    height: int
    width: int
    channels: int
    classes: int
    images: int
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class Preset:
    """A budget, and how wide the networks are beside those of `fast`."""

    budget: Mapping[str, float]
    scale: float


PRESETS: Mapping[str, Preset] = {
    "fast": Preset({"cpu_seconds": 60.0}, 1.0),
    "balanced": Preset({"cpu_seconds": 300.0}, 1.5),
    "quality": Preset({"cpu_seconds": 1_800.0}, 2.0),
}


@dataclass(frozen=True)
class ImageSettings:
    """Every value of a run, resolved."""

    height: int = setting("pixels")
    width: int = setting("pixels")
    channels: int = setting("1 grey, 3 colour")
    classes: int = setting("labels; 1 without labels")

    noise: int = setting("numbers that the encoder describes an image with", ge=2, le=512)
    coarse_width: int = setting("channels of the generator's coarsest layer", ge=4, le=1024)
    fine_width: int = setting("channels of the generator's finest layer", ge=4, le=512)
    blocks: int = setting("residual convolutions at the generator's coarsest layer", ge=0, le=16)
    critic_width: int = setting("channels of the critic's first layer", ge=4, le=512)
    feature_width: int = setting("channels of the feature network's first layer", ge=4, le=512)
    components: int = setting("Gaussians in the prior of a label, at most", ge=1, le=100)

    batch: int = setting("images in one step", ge=2, le=4096)
    rate: float = setting("learning rate of generator and encoder", gt=0, le=1)
    feature_rate: float = setting("learning rate of the feature network", gt=0, le=1)
    critic_rate: float = setting("learning rate of the critic", gt=0, le=1)
    beta1: float = setting("AdamW's first beta once the critic plays", ge=0, lt=1)
    beta2: float = setting("AdamW's second beta", ge=0, lt=1)
    pixel_weight: float = setting("of the squared error of pixels", ge=0, le=1000)
    feature_weight: float = setting("of the squared error of features", ge=0, le=1000)
    kl_weight: float = setting("of the divergence from a standard normal", ge=0, le=1000)
    adversarial_weight: float = setting("of the critic's pull on the generator", ge=0, le=1000)
    penalty_start: float = setting("gamma of R1 and R2 when the critic joins", ge=0, le=1000)
    penalty_end: float = setting("gamma of R1 and R2 at the end", ge=0, le=1000)
    penalty_every: int = setting("steps between gradient penalties", ge=1, le=1000)
    features_until: float = setting("share of the budget for the feature network", ge=0, lt=1)
    critic_from: float = setting("share of the budget at which the critic joins", ge=0, lt=1)
    prior_share: float = setting("share of the budget for the prior, at the end", ge=0, le=0.5)
    average: float = setting("decay of the averaged weights, a step", ge=0, lt=1)
    log_every: int = setting("steps between log lines", ge=1, le=1_000_000)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)

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


def resolve(data: ImageData, preset: str, explicit: Mapping[str, Any]) -> ImageSettings:
    """Fill in what was not chosen. Raises InvalidSettings."""
    scale = PRESETS[preset].scale
    values: dict[str, Any] = {
        "height": data.height,
        "width": data.width,
        "channels": data.channels,
        "classes": data.classes,
        "noise": 32 if data.channels == 1 else 64,
        "coarse_width": round(64 * scale),
        "fine_width": round(16 * scale),
        "blocks": 2,
        "critic_width": round(64 * scale),
        "feature_width": 16,
        "components": 10,
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
    for name in explicit:
        if name not in values:
            raise InvalidSettings(name, "unknown setting")
    settings = ImageSettings(**{**values, **explicit})
    check(settings)
    if settings.critic_from < settings.features_until:
        raise InvalidSettings("critic_from", "must not be below features_until")
    return settings


# Measured on sizes from 8 x 8 to 128 x 128 and batches of 32 and 128: a step takes what a matrix
# product of so much work would, and some more whatever its size.
EFFICIENCY = 0.66
OVERHEAD_GFLOP = 1.0


def cost(settings: ImageSettings) -> Cost:
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
