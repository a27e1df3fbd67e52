"""One figure of a judgement, with what it may be compared with. Free of torch."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["higher", "lower", "target"]  # which values are better; target: those near it
BOOTSTRAP_ROUNDS = 30
Z95 = 1.96  # standard errors to each side hold 95 %

Floats = NDArray[np.float64]

UNIT_RANGE, NONNEGATIVE_RANGE = (0.0, 1.0), (0.0, math.inf)
# What each may be: an interval does not go beyond that.
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
    "kernel_distance": (-math.inf, math.inf),  # without bias, chance brings it below 0
    "tstr_score": (-math.inf, 1.0),  # of a number: R²
}
HIGHER_IS_BETTER = frozenset(
    ("precision", "recall", "density", "coverage", "unique_rate", "label_accuracy", "tstr_score")
)  # higher is better
REQUIRES_LABELS = frozenset(("label_accuracy", "tstr_score"))  # not there without labels


@dataclass(frozen=True)
class Estimate:
    """A value, and how far it may be off by the chance of who was looked at (1.96 standard
    errors); `ends` where that is not as far to both sides."""

    value: float
    error: float = 0.0
    bounds: tuple[float, float] | None = None

    @classmethod
    def from_items(cls, values: Floats) -> "Estimate":
        """The mean of one number for each item. Of items that are counted or not, the interval is
        Wilson's (1927): of twenty of twenty it does not say that it must be all."""
        value, n = float(values.mean()), max(1, len(values))
        error = Z95 * float(values.std()) / n**0.5
        if not np.isin(values, (0, 1)).all():
            return cls(value, error)
        middle = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 * (value * (1 - value) / n + (Z95 / (2 * n)) ** 2) ** 0.5
        half /= 1 + Z95**2 / n
        return cls(value, error, (min(value, middle - half), max(value, middle + half)))

    @property
    def ci95(self) -> tuple[float, float]:
        return self.bounds or (self.value - self.error, self.value + self.error)


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], n: int, seed: int) -> Estimate:
    """The bootstrap (Efron 1979): `measure` gets which of n items are looked at. Only the spread is
    taken from it, as items that come twice bend many measures to one side."""
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(n, size=n)) for _ in range(BOOTSTRAP_ROUNDS)]
    return Estimate(statistic(np.arange(n)), Z95 * float(np.std(found)))


@dataclass(frozen=True)
class Score:
    """`real_reference`: the same for as many real items that training saw; `naive_baseline`: for naive ones."""

    name: str
    value: float
    ci95: tuple[float, float]
    direction: Direction
    real_reference: float | None = None
    naive_baseline: float | None = None
    per_label: dict[str, float] = field(default_factory=dict)
    target: float | None = None  # the best value, where `direction` is "target"

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
    least, most = RANGES.get(name, (-math.inf, math.inf))
    low, high = estimate.ci95
    return Score(
        name,
        estimate.value,
        (max(least, low), min(most, high)),
        direction,
        real_reference.value if isinstance(real_reference, Estimate) else real_reference,
        naive_baseline.value if isinstance(naive_baseline, Estimate) else naive_baseline,
        per_label or {},
        0.5 if direction == "target" else None,
    )
