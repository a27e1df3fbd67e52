"""Interface between a training loop and the code that runs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # the API imports this module, and numpy is slow to load
    import numpy as np
    from numpy.typing import NDArray

CheckStop = Callable[[], None]  # raises an exception when the work must stop


@dataclass(frozen=True)
class PackedCheckpoint:
    """A training state to resume from and a model to sample from, each serialized."""

    state: bytes
    model: bytes
    parameters: int  # of the model
    score: float | None = None  # quality of the model's samples; higher is better


class TrainingCallbacks(Protocol):
    """Callbacks of a training loop.

    Any method may raise to stop the loop. Checkpoints that were saved before remain valid.
    """

    def progress(self, step: int) -> float:
        """Return the share of the budget that is used after `step` steps. 1 ends the run.

        The first call, right before the first step, starts the clock of a budget in seconds.
        """

    def should_checkpoint(self, step: int) -> bool: ...

    def should_preview(self, step: int) -> bool: ...

    def report(self, step: int, metrics: dict[str, float]) -> None: ...

    def warn(self, step: int, message: str, code: str | None = None) -> None:
        """Record a message for the user who started the run.

        With a stable `code`, which a message about the request or its data has, it is one of the
        warnings of the job, too. Without one, it is only in the log.
        """

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None: ...

    def preview(self, step: int, grid: "NDArray[np.uint8]") -> None:
        """Store a picture, (H, W) or (H, W, 3): one row per label, the same noise at every step."""


class NotLearning(Exception):
    """The run cannot produce a useful model. The message gives the reason."""


class Collapsed(NotLearning):
    """The generator has collapsed: its samples are almost the same for all noise."""


class NonFiniteLoss(Exception):
    """A loss is infinite or NaN. The message names the loss and the step."""


def check_finite(step: int, losses: Mapping[str, Any]) -> dict[str, float]:
    """Convert the losses to floats.

    Raises:
        NonFiniteLoss: A loss is infinite or NaN.
    """
    values = {name: float(value) for name, value in losses.items()}
    for name, value in values.items():
        if value != value or value in (float("inf"), float("-inf")):
            raise NonFiniteLoss(f"{name} at step {step}")
    return values
