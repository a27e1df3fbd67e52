"""Result of the planning steps that depend on the modality."""

from dataclasses import dataclass
from typing import Any

from core.training import Budget, InitFrom


@dataclass(frozen=True)
class ResolvedTraining:
    """Resolved settings of a training job.

    `conditional` says whether samples can be requested by label. `target_column` is the column with
    the labels; it is None for images and for tables without labels.
    """

    conditional: bool
    target_column: str | None
    hyperparameters: dict[str, Any]
    budget: Budget
    train_items: int
    batch_size: int
    holdout_fraction: float
    gflop_per_step: float
    memory_bytes: int
    init_from: InitFrom | None = None
