"""What the planning of each kind of data comes to."""

from dataclasses import dataclass
from typing import Any

from core.training import Budget, InitFrom


@dataclass(frozen=True)
class ResolvedTraining:
    """`target_column`: what samples can be asked for by, if anything. `items` are there to learn from."""

    target_column: str | None
    hyperparameters: dict[str, Any]
    budget: Budget
    train_items: int
    batch_size: int
    holdout_fraction: float
    gflop_per_step: float
    memory_bytes: int
    init_from: InitFrom | None = None
