"""Scores of an evaluation, with intervals and references. This module does not import torch."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["higher", "lower", "target"]  # better values: higher, lower, or near `target`
BOOTSTRAP_ROUNDS = 30
Z95 = 1.96  # standard errors on each side of a 95 % confidence interval

Floats = NDArray[np.float64]

UNIT_RANGE, NONNEGATIVE_RANGE = (0.0, 1.0), (0.0, math.inf)
# Possible values of each score. Intervals are clipped to them.
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("frechet_distance", "density"), NONNEGATIVE_RANGE),
    **dict.fromkeys(
        ("precision", "recall", "coverage", "unique_rate", "label_accuracy"), UNIT_RANGE
    ),
    **dict.fromkeys(
        (
            "detection_auc",
            "detection_accuracy",
            "marginal_tvd",
            "pairwise_tvd",
            "dcr_share",
            "membership_inference_auc",
        ),
        UNIT_RANGE,
    ),
    **dict.fromkeys(
        (
            "near_duplicate_rate",
            "memorization_rate",
            "exact_match_rate",
            "membership_inference_tpr_at_1pct_fpr",
        ),
        UNIT_RANGE,
    ),
    "kernel_distance": (-math.inf, math.inf),  # unbiased, so it may be negative
    "tstr_score": (-math.inf, 1.0),  # R² may be negative
}
HIGHER_IS_BETTER = frozenset(
    ("precision", "recall", "density", "coverage", "unique_rate", "label_accuracy", "tstr_score")
)
# Missing in the report of data without labels.
REQUIRES_LABELS = frozenset(("label_accuracy", "tstr_score"))


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
    direction: Direction,
    *,
    real_reference: Estimate | float | None = None,
    naive_baseline: Estimate | float | None = None,
    per_label: dict[str, float] | None = None,
) -> Score:
    minimum, maximum = RANGES.get(name, (-math.inf, math.inf))
    low, high = estimate.ci95
    return Score(
        name,
        estimate.value,
        (max(minimum, low), min(maximum, high)),
        direction,
        real_reference.value if isinstance(real_reference, Estimate) else real_reference,
        naive_baseline.value if isinstance(naive_baseline, Estimate) else naive_baseline,
        per_label or {},
        0.5 if direction == "target" else None,
    )
