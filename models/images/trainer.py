"""What the loop needs of an architecture: something with state that learns a step at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from models.images.early_stopping import EarlyStopping
from models.images.feature_extractor import FeatureNetwork
from models.images.settings import ImageSettings
from models.training_callbacks import PackedCheckpoint, TrainingCallbacks

# (B, noise_size) standard normal noise and (B,) labels to (B, C, H, W) images in [-1, 1].
GeneratorFn = Callable[[Tensor, Tensor], Tensor]


class Trainer(Protocol):
    seed: int
    step: int
    features: FeatureNetwork
    early_stopping: EarlyStopping
    # Slope and intercept that make chances of the critic's scores (models.metrics.critic).
    calibration: Sequence[float] | None

    @property
    def settings(self) -> ImageSettings: ...

    @property
    def D(self) -> nn.Module:  # noqa: N802 - as the papers call it
        """The critic."""

    @property
    def noise_size(self) -> int: ...

    @property
    def is_generator_only(self) -> bool:
        """Whether there is a generator only, and no critic plays."""

    @property
    def training_fraction(self) -> float:
        """Share of the budget at which the steps end: `complete` needs the rest."""

    def freeze_features(self) -> None:
        """End the first phase: the feature network stays as it is from here on."""

    def train_step(
        self, images: Tensor, y: Tensor, progress: float, callbacks: TrainingCallbacks
    ) -> dict[str, Tensor]:
        """One step of both sides on a batch, after `settle`; what is worth logging."""

    def finalize(self) -> None:
        """What is left to do when the last step is done."""

    def ema_generator(self) -> GeneratorFn:
        """The averaged generator as it is now."""

    def pack(self) -> PackedCheckpoint:
        """Raises models.checkpoint.NonFiniteState."""

    def load(self, path: Path) -> None:
        """Go on from a saved state. Raises models.checkpoint.UnreadableCheckpoint."""

    def load_pretrained(self, path: Path, label_map: Sequence[int]) -> None:
        """Begin with the networks of a finished run, at step 0; see InitFrom. Raises as `load`."""
