"""How much noise keeps to an epsilon. What adds it up comes with the extra `dp`, and is imported
when it is asked."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

COUNTS_BUDGET_FRACTION = 0.3  # of epsilon: what counting tokens would take if nothing followed
MAX_NOISE = 1e4
NOISE_TOLERANCE = 1e-3  # of the noise that is searched for


class AccountantMissing(Exception):
    """Not installed."""


class PrivacyBudgetUnreachable(Exception):
    """No noise keeps to an epsilon this small."""


@dataclass(frozen=True)
class PrivacyBudget:
    """(epsilon, delta) of all that is read in so many steps."""

    epsilon: float
    delta: float
    steps: int


@dataclass(frozen=True)
class NoiseScales:
    """Standard deviations, as multiples of what one row can change."""

    counts: float
    gradients: float

    @classmethod
    def for_budget(cls, budget: PrivacyBudget, sampling_rate: float) -> "NoiseScales":
        """The least that does, where each step reads a row with chance `rate`. Raises NoAccountant
        and OutOfReach."""

        def of_counts(sigma: float) -> float:
            return epsilon_spent([(sigma, 1.0, 1)], budget.delta)

        counts = _bisect(of_counts, budget.epsilon * COUNTS_BUDGET_FRACTION)

        def of_all(sigma: float) -> float:
            return epsilon_spent(
                [(counts, 1.0, 1), (sigma, sampling_rate, budget.steps)], budget.delta
            )

        return cls(counts, _bisect(of_all, budget.epsilon))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def epsilon_spent(mechanisms: list[tuple[float, float, int]], delta: float) -> float:
    """Epsilon of Gaussian mechanisms, each (noise, chance of a row to be read, times), by their
    Renyi divergences (Mironov et al. 2019, 1908.10530). Raises NoAccountant."""
    try:
        from opacus.accountants import RDPAccountant
    except ImportError as error:
        raise AccountantMissing from error
    accountant = RDPAccountant()
    accountant.history = mechanisms
    return float(accountant.get_epsilon(delta))


def _bisect(epsilon_of: Callable[[float], float], max_epsilon: float) -> float:
    low, high = 0.1, 1.0
    while epsilon_of(high) > max_epsilon:
        low, high = high, high * 2
        if high > MAX_NOISE:
            raise PrivacyBudgetUnreachable
    while high - low > NOISE_TOLERANCE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if epsilon_of(middle) <= max_epsilon else (middle, high)
    return high
