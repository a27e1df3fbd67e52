"""One figure of a judgement, with what it may be compared with. Free of torch."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["higher", "lower", "half"]  # is better; half: near .5 is best
RESAMPLES = 30

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A value, and how far it may be off by the chance of who was looked at (1.96 standard
    errors)."""

    value: float
    error: float = 0.0

    @classmethod
    def of_each(cls, values: Floats) -> "Measured":
        """The mean of one number for each item."""
        spread = float(values.std()) / max(1.0, len(values) ** 0.5)
        return cls(float(values.mean()), 1.96 * spread)


def resampled(measure: Callable[[NDArray[np.int64]], float], n: int, seed: int) -> Measured:
    """The bootstrap (Efron 1979): `measure` gets which of n items are looked at. Only the spread is
    taken from it, as items that come twice bend many measures to one side."""
    rng = np.random.default_rng(seed)
    found = [measure(rng.integers(n, size=n)) for _ in range(RESAMPLES)]
    return Measured(measure(np.arange(n)), 1.96 * float(np.std(found)))


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
    return Score(
        name,
        found.value,
        (found.value - found.error, found.value + found.error),
        direction,
        ceiling.value if isinstance(ceiling, Measured) else ceiling,
        baseline.value if isinstance(baseline, Measured) else baseline,
        per_class or {},
    )
