"""Early stopping on the coverage of held-out images."""

from dataclasses import dataclass
from typing import Literal

from models.training_callbacks import Collapsed

Patience = int | Literal["auto"] | None  # in evaluations; None: no early stopping

EVALUATIONS_PER_RUN = 10  # at equal intervals of the budget
DEFAULT_PATIENCE = 7  # evaluations
MIN_DELTA = 0.01  # smallest gain in coverage that counts as an improvement
LR_DECAY_FRACTION = 0.25  # length of the decay after an early stop, relative to the run so far
COLLAPSE_COVERAGE = 0.02
COLLAPSE_PATIENCE = 3  # consecutive evaluations in the second half of the budget
WARMUP_STEPS = 500  # before this step, no checkpoint counts as the best and no run is stopped


@dataclass
class EarlyStopping:
    """Early-stopping state. The checkpoint of a run contains it."""

    evaluations: int = 0
    best_coverage: float = 0.0
    best_saved_coverage: float = 0.0  # of the best checkpoint, so only after WARMUP_STEPS
    evaluations_without_improvement: int = 0
    collapsed_evaluations: int = 0
    decay_start: float | None = None  # progress at which early stopping triggered

    def should_evaluate(self, progress: float) -> bool:
        return int(progress * EVALUATIONS_PER_RUN) > self.evaluations

    def schedule_progress(self, progress: float) -> float:
        """Return the schedule position in [0, 1].

        It equals the budget progress until early stopping triggers. From then on it advances
        faster, so that the learning rates still decay to their final value.
        """
        start = self.decay_start
        if start is None:
            return progress
        return min(
            1.0,
            start + (1 - start) * (progress - start) / min(1 - start, LR_DECAY_FRACTION * start),
        )

    def update(self, step: int, progress: float, coverage: float, patience: Patience) -> bool:
        """Record an evaluation. Return True if it is the best since WARMUP_STEPS, by MIN_DELTA.

        Raises:
            Collapsed: The coverage stayed below COLLAPSE_COVERAGE for COLLAPSE_PATIENCE
                evaluations.
        """
        self.evaluations = int(progress * EVALUATIONS_PER_RUN)
        has_improved = coverage >= self.best_coverage + MIN_DELTA
        if has_improved:
            self.best_coverage, self.evaluations_without_improvement = coverage, 0
        else:  # best_coverage does not move, so that small gains add up
            self.evaluations_without_improvement += 1
        self.collapsed_evaluations = (
            self.collapsed_evaluations + 1
            if coverage < COLLAPSE_COVERAGE and progress >= 0.5
            else 0
        )
        if step < WARMUP_STEPS:
            return False
        is_best = coverage >= self.best_saved_coverage + MIN_DELTA
        if is_best:
            self.best_saved_coverage = coverage
        if patience is None:
            return is_best
        if self.collapsed_evaluations >= COLLAPSE_PATIENCE:
            raise Collapsed(
                f"After {progress:.0%} of the budget, the samples still cover only {coverage:.1%} "
                "of the held-out images. Choose another `architecture` or `loss`, or reduce the "
                "learning rates."
            )
        limit = DEFAULT_PATIENCE if patience == "auto" else patience
        if self.evaluations_without_improvement >= limit and self.decay_start is None:
            self.decay_start = progress
        return is_best
