"""What the planning of each kind of data comes to."""

from dataclasses import dataclass
from typing import Any

from core.training import Budget, WarmStart


@dataclass(frozen=True)
class Choice:
    """`label`: what samples can be asked for by, if anything. `items` are there to learn from."""

    label: str | None
    config: dict[str, Any]
    budget: Budget
    items: int
    batch: int
    holdout: float
    gflop_per_step: float
    memory_bytes: int
    warm_start: WarmStart | None = None
