"""How well one number tells two kinds of items apart."""

from torch import Tensor, searchsorted

from models.measures.scores import Measured


def area(higher: Tensor, lower: Tensor) -> Measured:
    """Of (N,) and (M,) numbers, the share of all pairs in which the first is larger, equal ones by
    half: the area under the ROC curve, with the error of DeLong et al. 1988. N and M are at least
    2."""
    won, lost = _below(higher, lower), 1 - _below(lower, higher)
    spread = won.var() / len(won) + lost.var() / len(lost)
    return Measured(float(won.mean()), 1.96 * float(spread.sqrt()))


def _below(values: Tensor, others: Tensor) -> Tensor:
    """(N,) the share of the others that are less than each value."""
    ordered, values = others.sort().values, values.contiguous()
    below = searchsorted(ordered, values, right=False).double()
    not_above = searchsorted(ordered, values, right=True).double()
    return (below + not_above) / (2 * len(ordered))
