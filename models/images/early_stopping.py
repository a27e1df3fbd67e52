"""How a run has gone so far, and what follows from it: an early end, or none."""

from dataclasses import dataclass
from typing import Literal

from models.training_callbacks import Collapsed

Patience = int | Literal["auto"] | None  # in evaluations; None: no early stopping

EVALUATIONS_PER_RUN = 10  # in a run, at equal shares of its budget
DEFAULT_PATIENCE = 7
MIN_DELTA = 0.01  # of coverage: less is none
LR_DECAY_FRACTION = 0.25  # of the time until then: what a run gets that is brought to its end early
COLLAPSE_COVERAGE, COLLAPSE_PATIENCE = (
    0.02,
    3,
)  # coverage, and looks in a row in the second half of the budget
WARMUP_STEPS = 500  # steps before which nothing is expected of a run, or kept of it


@dataclass
class EarlyStopping:
    """What the looks (models.images.coverage_monitor) found; a checkpoint holds it."""

    evaluations: int = 0
    best_coverage: float = 0.0
    best_saved_coverage: float = (
        0.0  # of the best checkpoint: what came before WARMUP_STEPS has none
    )
    evaluations_without_improvement: int = 0
    collapsed_evaluations: int = 0
    decay_start: float | None = None

    def should_evaluate(self, progress: float) -> bool:
        return int(progress * EVALUATIONS_PER_RUN) > self.evaluations

    def schedule_progress(self, progress: float) -> float:
        """Progress through the schedule: that through the budget, until the run is to end early;
        from then on all that is left happens in a part of the time, so that the rates still fall.
        """
        start = self.decay_start
        if start is None:
            return progress
        return min(
            1.0,
            start + (1 - start) * (progress - start) / min(1 - start, LR_DECAY_FRACTION * start),
        )

    def update(self, step: int, progress: float, coverage: float, patience: Patience) -> bool:
        """Whether it is to be kept: the best since WARMUP_STEPS, by MIN_DELTA. Raises Collapsed when nothing
        can come of the run any more."""
        self.evaluations = int(progress * EVALUATIONS_PER_RUN)
        gained = coverage >= self.best_coverage + MIN_DELTA
        if gained:
            self.best_coverage, self.evaluations_without_improvement = coverage, 0
        else:  # small gains add up: they are beside the last that counted
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
                f"after {progress:.0%} of the budget the images still cover only {coverage:.1%} of "
                "those held out; choose another architecture or loss, or lower the rates"
            )
        limit = DEFAULT_PATIENCE if patience == "auto" else patience
        if self.evaluations_without_improvement >= limit and self.decay_start is None:
            self.decay_start = progress
        return is_best
