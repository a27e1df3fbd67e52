"""How well one number tells two kinds of items apart."""

from collections.abc import Sequence

from torch import Tensor, cat, searchsorted

from models.measures.scores import Measured, Score, score


def area(higher: Tensor, lower: Tensor) -> Measured:
    """Of (N,) and (M,) numbers, the share of all pairs in which the first is larger, equal ones by
    half: the area under the ROC curve, with the error of DeLong et al. 1988. N and M are at least
    2."""
    won, lost = _below(higher, lower), 1 - _below(lower, higher)
    spread = won.var() / len(won) + lost.var() / len(lost)
    return Measured(float(won.mean()), 1.96 * float(spread.sqrt()))


def accuracy(higher: Tensor, lower: Tensor) -> Measured:
    """The share of (N,) numbers that are above 0, and of (M,) that are not."""
    return Measured.of_each(cat([higher > 0, lower <= 0]).double().numpy())


def told_apart(said: Sequence[tuple[Tensor, Tensor]]) -> list[Score]:
    """What a critic that had learned to tell samples from real items says of others: (N,) numbers
    of real items and (M,) of samples, above 0 for those that it takes for samples. First of the
    samples, then of real items in their place, and of naive samples."""
    scores = []
    for name, measure in (("told_apart", area), ("critic_accuracy", accuracy)):
        value, ceiling, baseline = (measure(made, real) for real, made in said)
        scores.append(score(name, value, "half", ceiling=ceiling, baseline=baseline))
    return scores


def _below(values: Tensor, others: Tensor) -> Tensor:
    """(N,) the share of the others that are less than each value."""
    ordered, values = others.sort().values, values.contiguous()
    below = searchsorted(ordered, values, right=False).double()
    not_above = searchsorted(ordered, values, right=True).double()
    return (below + not_above) / (2 * len(ordered))
