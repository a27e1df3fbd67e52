"""Result of the planning steps that depend on the modality."""

from dataclasses import dataclass
from typing import Any

from core.training import Budget, InitFrom


@dataclass(frozen=True)
class ResolvedTraining:
    """Resolved settings of a training job.

    `target_column` is the column or `class` by which samples can be requested. It is None for a
    model without labels.
    """

    target_column: str | None
    hyperparameters: dict[str, Any]
    budget: Budget
    train_items: int
    batch_size: int
    holdout_fraction: float
    gflop_per_step: float
    memory_bytes: int
    init_from: InitFrom | None = None
