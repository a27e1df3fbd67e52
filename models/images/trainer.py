"""Interface of the trainers: an architecture with its training state, for the training loop."""

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
    # Slope and intercept that convert critic scores to probabilities (models.metrics.critic).
    calibration: Sequence[float] | None

    @property
    def settings(self) -> ImageSettings: ...

    @property
    def D(self) -> nn.Module:  # noqa: N802 - the name in the papers
        """The critic."""

    @property
    def noise_size(self) -> int: ...

    @property
    def is_generator_only(self) -> bool:
        """True if the critic never joins the training."""

    @property
    def training_fraction(self) -> float:
        """Share of the budget at which the steps end. `finalize` needs the rest."""

    def freeze_features(self) -> None:
        """End the first phase: the feature network does not change from here on."""

    def train_step(
        self, images: Tensor, y: Tensor, progress: float, callbacks: TrainingCallbacks
    ) -> dict[str, Tensor]:
        """Train generator and critic on one batch, after `freeze_features`. Return values to log.

        `images` is (B, C, H, W), `y` is (B,).
        """

    def finalize(self) -> None:
        """Complete the model after the last step."""

    def ema_generator(self) -> GeneratorFn:
        """Return the current averaged generator."""

    def pack(self) -> PackedCheckpoint:
        """Serialize the training state and the model.

        Raises:
            NonFiniteState: A weight or a statistic is infinite or NaN.
        """

    def load(self, path: Path) -> None:
        """Restore a saved training state.

        Raises:
            UnreadableCheckpoint: The file is not a checkpoint of the current format.
        """

    def load_pretrained(self, path: Path, label_map: Sequence[int]) -> None:
        """Load the networks of another run and start at step 0 (see InitFrom).

        Raises:
            UnreadableCheckpoint: The file is not a checkpoint of the current format.
        """
