"""What every training run on images has settings for, whatever its architecture.

Free of torch: the API resolves configurations with it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from models.settings import setting


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
    generator: float
    critic: float


PRESETS: Mapping[str, Preset] = {
    "fast": Preset({"cpu_seconds": 60.0}, 1.0, 1.0),
    "balanced": Preset({"cpu_seconds": 300.0}, 2.0, 1.0),
    "quality": Preset({"cpu_seconds": 1_800.0}, 3.0, 1.5),
}

# What the data decides, not whoever starts a run.
OF_THE_DATA = ("height", "width", "channels", "classes")


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """Values of a run that all architectures have, resolved."""

    architecture: str = setting(
        "which networks, and how they learn: guided is the best, the others to compare"
    )
    loss: str = setting("of the game between generator and critic")

    height: int = setting("pixels")
    width: int = setting("pixels")
    channels: int = setting("1 grey, 3 colour")
    classes: int = setting("labels; 1 without labels")

    noise: int = setting("numbers that an image is made from", ge=2, le=512)
    critic_width: int = setting("channels of the critic's first layer", ge=4, le=512)
    feature_width: int = setting("channels of the feature network's first layer", ge=4, le=512)
    batch: int = setting("images in one step", ge=2, le=4096)
    rate: float = setting("learning rate of the generator", gt=0, le=1)
    feature_rate: float = setting("learning rate of the feature network", gt=0, le=1)
    critic_rate: float = setting("learning rate of the critic", gt=0, le=1)
    beta1: float = setting("Adam's first beta in the game", ge=0, lt=1)
    beta2: float = setting("Adam's second beta", ge=0, lt=1)
    penalty_start: float = setting("gamma of R1 and R2 when the critic joins", ge=0, le=1000)
    penalty_end: float = setting("gamma of R1 and R2 at the end", ge=0, le=1000)
    penalty_every: int = setting("steps between gradient penalties", ge=1, le=1000)
    features_until: float = setting("share of the budget for the feature network", ge=0, lt=1)
    average: float = setting("decay of the averaged weights, a step", ge=0, lt=1)
    log_every: int = setting("steps between log lines", ge=1, le=1_000_000)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
