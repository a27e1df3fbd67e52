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
    n_images: int
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class ImagePreset:
    """A budget, and how wide the networks are beside those of `fast`."""

    budget: Mapping[str, float]
    generator_scale: float
    critic_scale: float


PRESETS: Mapping[str, ImagePreset] = {
    "fast": ImagePreset({"cpu_seconds": 60.0}, 1.0, 1.0),
    "balanced": ImagePreset({"cpu_seconds": 300.0}, 2.0, 1.0),
    "quality": ImagePreset({"cpu_seconds": 1_800.0}, 3.0, 1.5),
}

# What the data decides, not whoever starts a run.
DATA_FIELDS = ("height", "width", "channels", "classes")


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """Values of a run that all architectures have, resolved."""

    architecture: str = setting(
        "which networks, and how they learn: vae_gan is the best, the others to compare"
    )
    loss: str = setting("of the game between generator and critic")

    height: int = setting("pixels")
    width: int = setting("pixels")
    channels: int = setting("1 grey, 3 colour")
    classes: int = setting("labels; 1 without labels")

    latent_dim: int = setting("numbers that an image is made from", ge=2, le=512)
    critic_width: int = setting("channels of the critic's first layer", ge=4, le=512)
    feature_width: int = setting("channels of the feature network's first layer", ge=4, le=512)
    batch_size: int = setting("images in one step", ge=2, le=4096)
    generator_lr: float = setting("learning rate of the generator", gt=0, le=1)
    feature_lr: float = setting("learning rate of the feature network", gt=0, le=1)
    critic_lr: float = setting("learning rate of the critic", gt=0, le=1)
    beta1: float = setting("Adam's first beta in the game", ge=0, lt=1)
    beta2: float = setting("Adam's second beta", ge=0, lt=1)
    r1_gamma_start: float = setting("gamma of R1 and R2 when the critic joins", ge=0, le=1000)
    r1_gamma_end: float = setting("gamma of R1 and R2 at the end", ge=0, le=1000)
    r1_interval: int = setting("steps between gradient penalties", ge=1, le=1000)
    feature_budget_fraction: float = setting(
        "share of the budget for the feature network", ge=0, lt=1
    )
    ema_decay: float = setting("decay of the averaged weights, a step", ge=0, lt=1)
    log_interval: int = setting("steps between log lines", ge=1, le=1_000_000)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
