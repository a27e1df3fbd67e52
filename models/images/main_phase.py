"""Interface of the networks of an image architecture, which the second phase of a run trains."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from models.checkpoint import Resumable
from models.images.data import ImageBatches
from models.training_loop import Phase

# (B, noise_size) standard normal noise and (B,) labels to (B, C, H, W) images in [-1, 1].
GeneratorFn = Callable[[Tensor, Tensor], Tensor]


class MainPhase(Phase, Protocol):
    """Generator and critic. A batch is (B, C, H, W) images and (B,) labels."""

    batches: ImageBatches

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

    def prepare(self) -> None:
        """Prepare for the first step. The features are frozen from here on."""

    def finalize(self) -> None:
        """Complete the model after the last step."""

    def ema_generator(self) -> GeneratorFn:
        """Return the current averaged generator."""

    def sampling_networks(self) -> dict[str, nn.Module]:
        """Return the networks that a model needs to generate images: `generator` and its prior."""

    def resumable(self) -> dict[str, Resumable]:
        """Return the objects whose state a checkpoint holds."""

    def load_pretrained(
        self, state: Mapping[str, Mapping[str, Any]], label_map: Sequence[int]
    ) -> None:
        """Load the weights of another run, given its saved state (see InitFrom)."""
