"""Scores of an evaluation, with intervals and references. This module does not import torch."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics.score_types import SCORE_TYPES, TARGET, Direction

BOOTSTRAP_ROUNDS = 30
Z95 = 1.96  # standard errors on each side of a 95 % confidence interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its sampling error."""

    value: float
    error: float = 0.0  # half width of the 95 % confidence interval
    bounds: tuple[float, float] | None = None  # the interval, if it is not symmetric

    @classmethod
    def from_items(cls, values: Floats) -> "Estimate":
        """Estimate the mean of one value per item.

        If all values are 0 or 1, the interval is that of Wilson (1927): 20 hits of 20 must not give
        an interval of width 0.
        """
        value, n = float(values.mean()), max(1, len(values))
        error = Z95 * float(values.std()) / n**0.5
        if not np.isin(values, (0, 1)).all():
            return cls(value, error)
        center = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half_width = Z95 * (value * (1 - value) / n + (Z95 / (2 * n)) ** 2) ** 0.5
        half_width /= 1 + Z95**2 / n
        return cls(value, error, (min(value, center - half_width), max(value, center + half_width)))

    @property
    def ci95(self) -> tuple[float, float]:
        return self.bounds or (self.value - self.error, self.value + self.error)


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], n: int, seed: int) -> Estimate:
    """Estimate a statistic of n items and its error by the bootstrap (Efron 1979).

    `statistic` gets the indices of the selected items. The value is that of all items, because
    repeated items bias many statistics; only the error comes from resampling.
    """
    rng = np.random.default_rng(seed)
    resampled = [statistic(rng.integers(n, size=n)) for _ in range(BOOTSTRAP_ROUNDS)]
    return Estimate(statistic(np.arange(n)), Z95 * float(np.std(resampled)))


@dataclass(frozen=True)
class Score:
    """A metric of synthetic items with its references.

    `real_reference` is the same metric for real items in place of the synthetic ones, and
    `naive_baseline` for samples of a naive model (models.metrics.baselines).
    """

    name: str
    value: float
    ci95: tuple[float, float]
    direction: Direction
    real_reference: float | None = None
    naive_baseline: float | None = None
    per_label: dict[str, float] = field(default_factory=dict)
    target: float | None = None  # the best value, if `direction` is "target"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def create_score(
    name: str,
    estimate: Estimate,
    *,
    real_reference: Estimate | float | None = None,
    naive_baseline: Estimate | float | None = None,
    per_label: dict[str, float] | None = None,
) -> Score:
    """Create a score of a type in SCORE_TYPES."""
    score_type = SCORE_TYPES[name]
    low, high = estimate.ci95
    return Score(
        name,
        estimate.value,
        (max(score_type.minimum, low), min(score_type.maximum, high)),
        score_type.direction,
        real_reference.value if isinstance(real_reference, Estimate) else real_reference,
        naive_baseline.value if isinstance(naive_baseline, Estimate) else naive_baseline,
        per_label or {},
        TARGET if score_type.direction == "target" else None,
    )
