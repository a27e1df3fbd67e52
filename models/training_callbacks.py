"""What a training loop tells the outside, and how the outside steers it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

CheckStop = Callable[[], None]  # raises what work is to end with


@dataclass(frozen=True)
class PackedCheckpoint:
    """A state to go on from, and the model to sample from, each as packed bytes."""

    state: bytes
    model: bytes
    parameters: int  # of the model
    score: float | None = None  # how good its samples are; higher is better


class TrainingCallbacks(Protocol):
    """Any method may raise to stop the loop: what was saved before stands."""

    def progress(self, step: int) -> float:
        """How much of the budget is used after `step` steps: 1 ends the run."""

    def should_checkpoint(self, step: int) -> bool: ...

    def should_preview(self, step: int) -> bool: ...

    def report(self, step: int, metrics: dict[str, float]) -> None: ...

    def warn(self, step: int, message: str) -> None:
        """Something that whoever started the run should know."""

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None: ...

    def preview(self, step: int, grid: NDArray[np.uint8]) -> None:
        """One picture, (H, W) or (H, W, 3): the same noise at every step, a row for each label."""


class NotLearning(Exception):
    """The run cannot come to anything; the text says why."""


class Collapsed(NotLearning):
    """Whatever noise it is given, the generator makes nearly the same."""


class NonFiniteLoss(Exception):
    """A loss is infinite or no number."""


def check_finite(step: int, losses: Mapping[str, Any]) -> dict[str, float]:
    """The losses as numbers. Raises NonFiniteLoss."""
    numbers = {name: float(value) for name, value in losses.items()}
    for name, value in numbers.items():
        if value != value or value in (float("inf"), float("-inf")):
            raise NonFiniteLoss(f"{name} at step {step}")
    return numbers
