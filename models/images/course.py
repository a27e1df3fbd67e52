"""How a run has gone so far, and what follows from it: an early end, or none."""

from dataclasses import dataclass
from typing import Literal

from models.run import Collapsed

EarlyStop = Literal["auto", "never"] | int

LOOKS = 10  # in a run, at equal shares of its budget
AUTO_PATIENCE = 7
GAIN = 0.01  # of coverage: less is none
COOLING = 0.25  # of the time until then: what a run gets that is brought to its end early
LOST, LOST_LOOKS = 0.02, 3  # coverage, and looks in a row in the second half of the budget
FAIR = 500  # steps before which nothing is expected of a run, or kept of it


@dataclass
class Course:
    """What the looks (models.images.watch) found; a checkpoint holds it."""

    looks: int = 0
    best: float = 0.0
    kept: float = 0.0  # of the best checkpoint: what came before FAIR has none
    without_gain: int = 0
    lost: int = 0
    cooling_from: float | None = None

    def is_due(self, progress: float) -> bool:
        return int(progress * LOOKS) > self.looks

    def hurried(self, progress: float) -> float:
        """Progress through the schedule: that through the budget, until the run is to end early;
        from then on all that is left happens in a part of the time, so that the rates still fall.
        """
        start = self.cooling_from
        if start is None:
            return progress
        return min(1.0, start + (1 - start) * (progress - start) / min(1 - start, COOLING * start))

    def enter(self, step: int, progress: float, coverage: float, early_stop: EarlyStop) -> bool:
        """Whether it is to be kept: the best since FAIR, by enough. Raises Collapsed when nothing
        can come of the run any more."""
        self.looks = int(progress * LOOKS)
        gained = coverage >= self.best + GAIN
        if gained:
            self.best, self.without_gain = coverage, 0
        else:  # small gains add up: they are beside the last that counted
            self.without_gain += 1
        self.lost = self.lost + 1 if coverage < LOST and progress >= 0.5 else 0
        if step < FAIR:
            return False
        is_best = coverage >= self.kept + GAIN
        if is_best:
            self.kept = coverage
        if early_stop == "never":
            return is_best
        if self.lost >= LOST_LOOKS:
            raise Collapsed(
                f"after {progress:.0%} of the budget the images still cover only {coverage:.1%} of "
                "those held out; choose another architecture or loss, or lower the rates"
            )
        patience = AUTO_PATIENCE if early_stop == "auto" else early_stop
        if self.without_gain >= patience and self.cooling_from is None:
            self.cooling_from = progress
        return is_best
