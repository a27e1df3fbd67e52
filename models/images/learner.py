"""What the loop needs of an architecture: something with state that learns a step at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from models.images.course import Course
from models.images.features import FeatureNetwork
from models.images.settings import ImageSettings
from models.run import Run, Saved

# (B, noise_size) standard normal noise and (B,) labels to (B, C, H, W) images in [-1, 1].
Draw = Callable[[Tensor, Tensor], Tensor]


class Learner(Protocol):
    seed: int
    step: int
    features: FeatureNetwork
    course: Course
    # Slope and intercept that make chances of the critic's scores (models.measures.critic).
    calibration: Sequence[float] | None

    @property
    def settings(self) -> ImageSettings: ...

    @property
    def D(self) -> nn.Module:  # noqa: N802 - as the papers call it
        """The critic."""

    @property
    def noise_size(self) -> int: ...

    @property
    def is_alone(self) -> bool:
        """Whether there is a generator only, and no critic plays."""

    @property
    def until(self) -> float:
        """Share of the budget at which the steps end: `complete` needs the rest."""

    def settle(self) -> None:
        """End the first phase: the feature network stays as it is from here on."""

    def learn(self, images: Tensor, y: Tensor, progress: float, run: Run) -> dict[str, Tensor]:
        """One step of both sides on a batch, after `settle`; what is worth logging."""

    def complete(self) -> None:
        """What is left to do when the last step is done."""

    def draw(self) -> Draw:
        """The averaged generator as it is now."""

    def pack(self) -> Saved:
        """Raises models.checkpoint.NonFiniteState."""

    def load(self, path: Path) -> None:
        """Go on from a saved state. Raises models.checkpoint.UnreadableCheckpoint."""

    def adopt(self, path: Path, labels: Sequence[int]) -> None:
        """Begin with the networks of a finished run, at step 0; see WarmStart. Raises as `load`."""
