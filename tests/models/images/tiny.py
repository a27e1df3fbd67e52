"""Tiny images, tiny networks, and a run that keeps what it is given."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.images.architectures import resolve
from models.images.data import LabeledImages
from models.images.settings import ImageData, ImageSettings
from models.training_callbacks import PackedCheckpoint
from tests.tiny_configs import TINY_IMAGE_CONFIG

SHORT = {
    "prior_components": 2,
    "log_interval": 4,
    "feature_budget_fraction": 0.2,
    "critic_start_fraction": 0.5,
}


def make_settings(
    height: int = 8, width: int = 8, channels: int = 1, classes: int = 3, **explicit: Any
) -> ImageSettings:
    """Those of `vae_gan`, unless another architecture is named."""
    data = ImageData(height, width, channels, classes, n_images=60)
    architecture = explicit.get("architecture", "vae_gan")
    if architecture in ("vae_gan", "cvae"):
        short = SHORT | ({"critic_start_fraction": 1.0} if architecture == "cvae" else {})
        return resolve(data, "fast", TINY_IMAGE_CONFIG | short | explicit)
    small = {
        "latent_dim": 4,
        "generator_width": 8,
        "critic_width": 8,
        "feature_width": 8,
        "batch_size": 8,
    }
    return resolve(
        data, "fast", small | {"log_interval": 4, "feature_budget_fraction": 0.2} | explicit
    )


def make_images(settings: ImageSettings, count: int = 60) -> LabeledImages:
    """Blocks whose place and size depend on the label, with noise."""
    rng = np.random.default_rng(0)
    colour = (3,) if settings.channels == 3 else ()
    pixels = rng.integers(0, 40, (count, settings.height, settings.width, *colour), np.uint8)
    labels = np.arange(count, dtype=np.int32) % settings.classes
    for image, label in zip(pixels, labels, strict=True):
        image[label : label + 4, 1 : 4 + label] += 200
    return LabeledImages.split(pixels, labels, holdout_fraction=0.2, seed=1)


class RecordingCallbacks:
    """A run of `steps` steps that saves at `every`, and can be killed when it is about to save."""

    def __init__(self, steps: int, every: int = 10**9, killed_at: int | None = None) -> None:
        self.steps, self.every, self.killed_at = steps, every, killed_at
        self.saved: dict[int, PackedCheckpoint] = {}
        self.sheets: list[NDArray[np.uint8]] = []
        self.warnings: list[tuple[int, str]] = []
        self.reports: dict[int, dict[str, float]] = {}

    def progress(self, step: int) -> float:
        if step == self.killed_at:
            raise KeyboardInterrupt
        return step / self.steps

    def should_checkpoint(self, step: int) -> bool:
        return step > 0 and step % self.every == 0

    def should_preview(self, step: int) -> bool:
        return step == 0

    def report(self, step: int, metrics: dict[str, float]) -> None:
        self.reports.setdefault(step, {}).update(metrics)

    def warn(self, step: int, message: str) -> None:
        self.warnings.append((step, message))

    def save(self, step: int, saved: PackedCheckpoint) -> None:
        self.saved[step] = saved

    def preview(self, step: int, sheet: NDArray[np.uint8]) -> None:
        self.sheets.append(sheet)
