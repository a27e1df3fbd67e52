"""Settings that all image architectures have in common.

This module does not import torch, because the API resolves settings with it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from models.settings import DeviceKind, setting

CONTENT = "image"  # of model files and training states, in their headers


@dataclass(frozen=True)
class ImageData:
    """Properties of a dataset and a run that the defaults depend on.

    `device` is the kind that the run needs. `budget_seconds` is the budget in seconds of this
    device, or None if the budget is not such a time.
    """

    height: int
    width: int
    channels: int
    classes: int
    n_images: int
    budget_seconds: float | None = None
    device: DeviceKind = "cpu"


@dataclass(frozen=True)
class ImagePreset:
    """A budget, the widths of the networks relative to `fast` on a CPU, and the batch size.

    The batch size is that of `vae_gan` and `cvae`; other architectures have twice as many images.
    """

    budget: Mapping[str, float]
    generator_scale: float
    critic_scale: float
    batch_size: int = 32


PRESETS: Mapping[DeviceKind, Mapping[str, ImagePreset]] = {
    "cpu": {
        "fast": ImagePreset({"cpu_seconds": 60.0}, 1.0, 1.0),
        "balanced": ImagePreset({"cpu_seconds": 300.0}, 2.0, 1.0),
        "quality": ImagePreset({"cpu_seconds": 1_800.0}, 3.0, 1.5),
    },
    # Never tried on a GPU: wider networks and larger batches than one core can train in time.
    "gpu": {
        "fast": ImagePreset({"gpu_seconds": 60.0}, 2.0, 1.0, 128),
        "balanced": ImagePreset({"gpu_seconds": 600.0}, 4.0, 2.0, 128),
        "quality": ImagePreset({"gpu_seconds": 3_600.0}, 6.0, 4.0, 256),
    },
}

# The dataset determines these fields; a request cannot set them.
DATA_FIELDS = ("height", "width", "channels", "classes")


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """Resolved settings of a run."""

    architecture: str = setting(
        "Network architecture and training method. Default: `vae_gan`, which gives the best "
        "samples; the others are for comparison."
    )
    loss: str = setting(
        "Adversarial loss of critic (discriminator) and generator. Default: `relativistic`; `elbo` "
        "for `cvae`, which has no other."
    )

    height: int = setting("Image height in pixels.")
    width: int = setting("Image width in pixels.")
    channels: int = setting("Number of color channels: 1 for gray, 3 for color.")
    classes: int = setting("Number of labels; 1 for images without labels.")

    latent_dim: int = setting(
        "Size of the generator's noise vector. The default depends on architecture and dataset.",
        ge=2,
        le=512,
    )
    critic_width: int = setting(
        "Channels of the critic's first layer. The default depends on architecture and preset.",
        ge=4,
        le=512,
    )
    feature_width: int = setting(
        "Channels of the feature network's first layer. Default: 16.", ge=4, le=512
    )
    batch_size: int = setting(
        "Images per training step. Default: 32, or half of a smaller dataset, for `vae_gan` and "
        "`cvae`; 64 for other architectures; four to eight times as many for jobs on a GPU.",
        ge=2,
        le=4096,
    )
    generator_lr: float = setting(
        "Learning rate of the generator. Default: 0.002 for `vae_gan` and `cvae`, otherwise 0.001.",
        gt=0,
        le=1,
    )
    feature_lr: float = setting(
        "Peak learning rate of the feature network. Default: 0.003.", gt=0, le=1
    )
    critic_lr: float = setting(
        "Learning rate of the critic. Default: 0.002 for `vae_gan` and `cvae`, otherwise 0.001.",
        gt=0,
        le=1,
    )
    beta1: float = setting(
        "First beta of the Adam optimizer during adversarial training. Default: 0.", ge=0, lt=1
    )
    beta2: float = setting(
        "Second beta of the Adam optimizer of generator and critic. Default: 0.99.", ge=0, lt=1
    )
    r1_gamma_start: float = setting(
        "Weight of the R1 and R2 gradient penalties at the start of the run. Default: 0.3.",
        ge=0,
        le=1000,
    )
    r1_gamma_end: float = setting(
        "Weight of the R1 and R2 gradient penalties at the end of the run. Default: 0.03.",
        ge=0,
        le=1000,
    )
    r1_interval: int = setting("Steps between gradient penalties. Default: 8.", ge=1, le=1000)
    augmentation_target: float = setting(
        "Target of adaptive augmentation, between 0 and 1: the images that the critic sees are "
        "transformed at random, the more, the higher its scores of real images are above those "
        "of generated ones. 0 disables it. Default: 0.",
        default=0.0,
        ge=0,
        lt=1,
    )
    feature_budget_fraction: float = setting(
        "Share of the budget for training the feature network. Default: 0.05.", ge=0, lt=1
    )
    ema_decay: float = setting(
        "Decay per step of the averaged generator weights. Default: 0.998.", ge=0, lt=1
    )
    log_interval: int = setting("Steps between logged metrics. Default: 100.", ge=1, le=1_000_000)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
