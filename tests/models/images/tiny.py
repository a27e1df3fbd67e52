"""Tiny images and networks, and callbacks that record a training run."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.images.architectures import resolve
from models.images.data import LabeledImages
from models.images.settings import ImageData, ImageSettings
from models.training_callbacks import PackedCheckpoint
from tests.tiny_configs import TINY_IMAGE_CONFIG

SHORT_SCHEDULE = {
    "prior_components": 2,
    "log_interval": 4,
    "feature_budget_fraction": 0.2,
    "critic_start_fraction": 0.5,
}


def make_settings(
    height: int = 8, width: int = 8, channels: int = 1, classes: int = 3, **overrides: Any
) -> ImageSettings:
    """Return settings of tiny networks, of `vae_gan` unless an architecture is given."""
    data = ImageData(height, width, channels, classes, n_images=60)
    architecture = overrides.get("architecture", "vae_gan")
    if architecture in ("vae_gan", "cvae"):
        short_schedule = SHORT_SCHEDULE | (
            {"critic_start_fraction": 1.0} if architecture == "cvae" else {}
        )
        return resolve(data, "fast", TINY_IMAGE_CONFIG | short_schedule | overrides)
    small_networks = {
        "latent_dim": 4,
        "generator_width": 8,
        "critic_width": 8,
        "feature_width": 8,
        "batch_size": 8,
    }
    return resolve(
        data,
        "fast",
        small_networks | {"log_interval": 4, "feature_budget_fraction": 0.2} | overrides,
    )


def make_images(settings: ImageSettings, count: int = 60) -> LabeledImages:
    """Return noisy images of a block whose position and size depend on the label."""
    rng = np.random.default_rng(0)
    channels = (3,) if settings.channels == 3 else ()
    pixels = rng.integers(0, 40, (count, settings.height, settings.width, *channels), np.uint8)
    labels = np.arange(count, dtype=np.int32) % settings.classes
    for image, label in zip(pixels, labels, strict=True):
        image[label : label + 4, 1 : 4 + label] += 200
    return LabeledImages.split(pixels, labels, holdout_fraction=0.2, seed=1)


class RecordingCallbacks:
    """Callbacks of a run of `steps` steps that keep its checkpoints, metrics and previews.

    The run is interrupted when it reaches `interrupt_at`, before it saves.
    """

    def __init__(
        self, steps: int, checkpoint_interval: int = 10**9, interrupt_at: int | None = None
    ) -> None:
        self.steps, self.checkpoint_interval, self.interrupt_at = (
            steps,
            checkpoint_interval,
            interrupt_at,
        )
        self.saved: dict[int, PackedCheckpoint] = {}
        self.previews: list[NDArray[np.uint8]] = []
        self.warnings: list[tuple[int, str]] = []
        self.metrics: dict[int, dict[str, float]] = {}

    def progress(self, step: int) -> float:
        if step == self.interrupt_at:
            raise KeyboardInterrupt
        return step / self.steps

    def should_checkpoint(self, step: int) -> bool:
        return step > 0 and step % self.checkpoint_interval == 0

    def should_preview(self, step: int) -> bool:
        return step == 0

    def report(self, step: int, metrics: dict[str, float]) -> None:
        self.metrics.setdefault(step, {}).update(metrics)

    def warn(self, step: int, message: str, code: str | None = None) -> None:
        self.warnings.append((step, message))

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None:
        self.saved[step] = checkpoint

    def preview(self, step: int, grid: NDArray[np.uint8]) -> None:
        self.previews.append(grid)
