"""One figure of a judgement, with what it may be compared with. Free of torch."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["higher", "lower", "half"]  # is better; half: near .5 is best
RESAMPLES = 30
SURE = 1.96  # standard errors to each side hold 95 %

Floats = NDArray[np.float64]

SHARE, DISTANCE = (0.0, 1.0), (0.0, math.inf)
# What each may be: an interval does not go beyond that.
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("frechet", "density"), DISTANCE),
    **dict.fromkeys(("precision", "recall", "coverage", "different", "label_fidelity"), SHARE),
    **dict.fromkeys(
        ("told_apart", "critic_accuracy", "marginals", "pairs", "dcr_share", "membership"), SHARE
    ),
    **dict.fromkeys(("near_copies", "replayed", "exact_copies", "exposed"), SHARE),
    "kernel": (-math.inf, math.inf),  # without bias, chance brings it below 0
    "utility": (-math.inf, 1.0),  # of a number: R²
}
UPWARD = frozenset(
    ("precision", "recall", "density", "coverage", "different", "label_fidelity", "utility")
)  # higher is better
OF_LABELS = frozenset(("label_fidelity", "utility"))  # not there without labels


@dataclass(frozen=True)
class Measured:
    """A value, and how far it may be off by the chance of who was looked at (1.96 standard
    errors); `ends` where that is not as far to both sides."""

    value: float
    error: float = 0.0
    ends: tuple[float, float] | None = None

    @classmethod
    def of_each(cls, values: Floats) -> "Measured":
        """The mean of one number for each item. Of items that are counted or not, the interval is
        Wilson's (1927): of twenty of twenty it does not say that it must be all."""
        value, n = float(values.mean()), max(1, len(values))
        error = SURE * float(values.std()) / n**0.5
        if not np.isin(values, (0, 1)).all():
            return cls(value, error)
        middle = (value + SURE**2 / (2 * n)) / (1 + SURE**2 / n)
        half = SURE * (value * (1 - value) / n + (SURE / (2 * n)) ** 2) ** 0.5
        half /= 1 + SURE**2 / n
        return cls(value, error, (min(value, middle - half), max(value, middle + half)))

    @property
    def ci95(self) -> tuple[float, float]:
        return self.ends or (self.value - self.error, self.value + self.error)


def resampled(measure: Callable[[NDArray[np.int64]], float], n: int, seed: int) -> Measured:
    """The bootstrap (Efron 1979): `measure` gets which of n items are looked at. Only the spread is
    taken from it, as items that come twice bend many measures to one side."""
    rng = np.random.default_rng(seed)
    found = [measure(rng.integers(n, size=n)) for _ in range(RESAMPLES)]
    return Measured(measure(np.arange(n)), SURE * float(np.std(found)))


@dataclass(frozen=True)
class Score:
    """`ceiling`: the same for as many real items that training saw; `baseline`: for naive ones."""

    name: str
    value: float
    ci95: tuple[float, float]
    direction: Direction
    ceiling: float | None = None
    baseline: float | None = None
    per_class: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def score(
    name: str,
    found: Measured,
    direction: Direction,
    *,
    ceiling: Measured | float | None = None,
    baseline: Measured | float | None = None,
    per_class: dict[str, float] | None = None,
) -> Score:
    least, most = RANGES.get(name, (-math.inf, math.inf))
    low, high = found.ci95
    return Score(
        name,
        found.value,
        (max(least, low), min(most, high)),
        direction,
        ceiling.value if isinstance(ceiling, Measured) else ceiling,
        baseline.value if isinstance(baseline, Measured) else baseline,
        per_class or {},
    )
