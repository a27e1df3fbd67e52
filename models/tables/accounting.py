"""How much noise keeps to an epsilon. What adds it up comes with the extra `dp`, and is imported
when it is asked."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

START_SHARE = 0.3  # of epsilon: what counting tokens would take if nothing followed
LOUDEST = 1e4
TOLERANCE = 1e-3  # of the noise that is searched for


class NoAccountant(Exception):
    """Not installed."""


class OutOfReach(Exception):
    """No noise keeps to an epsilon this small."""


@dataclass(frozen=True)
class Promise:
    """(epsilon, delta) of all that is read in so many steps."""

    epsilon: float
    delta: float
    steps: int


@dataclass(frozen=True)
class Noise:
    """Standard deviations, as multiples of what one row can change."""

    counts: float
    gradients: float

    @classmethod
    def keeping(cls, promise: Promise, rate: float) -> "Noise":
        """The least that does, where each step reads a row with chance `rate`. Raises NoAccountant
        and OutOfReach."""

        def of_counts(sigma: float) -> float:
            return spent([(sigma, 1.0, 1)], promise.delta)

        counts = _least(of_counts, promise.epsilon * START_SHARE)

        def of_all(sigma: float) -> float:
            return spent([(counts, 1.0, 1), (sigma, rate, promise.steps)], promise.delta)

        return cls(counts, _least(of_all, promise.epsilon))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def spent(mechanisms: list[tuple[float, float, int]], delta: float) -> float:
    """Epsilon of Gaussian mechanisms, each (noise, chance of a row to be read, times), by their
    Renyi divergences (Mironov et al. 2019, 1908.10530). Raises NoAccountant."""
    try:
        from opacus.accountants import RDPAccountant
    except ImportError as error:
        raise NoAccountant from error
    accountant = RDPAccountant()
    accountant.history = mechanisms
    return float(accountant.get_epsilon(delta))


def _least(epsilon_of: Callable[[float], float], most: float) -> float:
    low, high = 0.1, 1.0
    while epsilon_of(high) > most:
        low, high = high, high * 2
        if high > LOUDEST:
            raise OutOfReach
    while high - low > TOLERANCE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if epsilon_of(middle) <= most else (middle, high)
    return high
