"""Privacy accounting: the noise that a guarantee of (epsilon, delta) requires.

Opacus, from the optional extra `dp`, is imported on first use.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

COUNTS_BUDGET_FRACTION = 0.3  # share of epsilon for the token counts, if nothing else were read
MAX_NOISE = 1e4
NOISE_TOLERANCE = 1e-3  # relative error at which the bisection ends


class AccountantMissing(Exception):
    """Opacus is not installed."""


class PrivacyBudgetUnreachable(Exception):
    """No noise up to MAX_NOISE satisfies the requested epsilon."""


@dataclass(frozen=True)
class PrivacyBudget:
    """The (epsilon, delta) guarantee for a whole run of `steps` training steps."""

    epsilon: float
    delta: float
    steps: int


@dataclass(frozen=True)
class NoiseScales:
    """Standard deviations of Gaussian noise, as multiples of the L2 sensitivity to one row."""

    counts: float
    gradients: float

    @classmethod
    def for_budget(cls, budget: PrivacyBudget, sampling_rate: float) -> "NoiseScales":
        """Return the smallest noise that satisfies `budget`.

        `sampling_rate` is the probability that a step reads a given row. Raises AccountantMissing
        and PrivacyBudgetUnreachable.
        """

        def epsilon_of_counts(sigma: float) -> float:
            return epsilon_spent([(sigma, 1.0, 1)], budget.delta)

        counts = _bisect(epsilon_of_counts, budget.epsilon * COUNTS_BUDGET_FRACTION)

        def epsilon_of_run(sigma: float) -> float:
            return epsilon_spent(
                [(counts, 1.0, 1), (sigma, sampling_rate, budget.steps)], budget.delta
            )

        return cls(counts, _bisect(epsilon_of_run, budget.epsilon))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def epsilon_spent(mechanisms: list[tuple[float, float, int]], delta: float) -> float:
    """Return epsilon of a composition of Gaussian mechanisms at `delta`.

    Each mechanism is (noise scale, sampling rate, number of uses). The bound is that of Rényi
    differential privacy for sampled Gaussian mechanisms (Mironov et al. 2019, 1908.10530). Raises
    AccountantMissing.
    """
    try:
        from opacus.accountants import RDPAccountant
    except ImportError as error:
        raise AccountantMissing from error
    accountant = RDPAccountant()
    accountant.history = mechanisms
    return float(accountant.get_epsilon(delta))


def _bisect(epsilon_of: Callable[[float], float], max_epsilon: float) -> float:
    """Return the smallest noise with epsilon_of(noise) <= max_epsilon, to NOISE_TOLERANCE."""
    low, high = 0.1, 1.0
    while epsilon_of(high) > max_epsilon:
        low, high = high, high * 2
        if high > MAX_NOISE:
            raise PrivacyBudgetUnreachable
    while high - low > NOISE_TOLERANCE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if epsilon_of(middle) <= max_epsilon else (middle, high)
    return high
