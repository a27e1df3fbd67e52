"""How well one number tells two kinds of items apart."""

from collections.abc import Sequence

from torch import Tensor, cat, searchsorted

from models.metrics.scores import Estimate, Score, create_score


def roc_auc(positives: Tensor, negatives: Tensor) -> Estimate:
    """Of (N,) and (M,) numbers, the share of all pairs in which the first is larger, equal ones by
    half: the area under the ROC curve, with the error of DeLong et al. 1988. N and M are at least
    2."""
    won, lost = _below(positives, negatives), 1 - _below(negatives, positives)
    spread = won.var() / len(won) + lost.var() / len(lost)
    return Estimate(float(won.mean()), 1.96 * float(spread.sqrt()))


def accuracy(positives: Tensor, negatives: Tensor) -> Estimate:
    """The share of (N,) numbers that are above 0, and of (M,) that are not."""
    return Estimate.from_items(cat([positives > 0, negatives <= 0]).double().numpy())


def detection_scores(predictions: Sequence[tuple[Tensor, Tensor]]) -> list[Score]:
    """What a critic that had learned to tell samples from real items says of others: (N,) numbers
    of real items and (M,) of samples, above 0 for those that it takes for samples. First of the
    samples, then of real items in their place, and of naive samples."""
    scores = []
    for name, measure in (("detection_auc", roc_auc), ("detection_accuracy", accuracy)):
        value, ceiling, baseline = (measure(made, real) for real, made in predictions)
        scores.append(
            create_score(name, value, "target", real_reference=ceiling, naive_baseline=baseline)
        )
    return scores


def _below(values: Tensor, others: Tensor) -> Tensor:
    """(N,) the share of the others that are less than each value."""
    ordered, values = others.sort().values, values.contiguous()
    below = searchsorted(ordered, values, right=False).double()
    not_above = searchsorted(ordered, values, right=True).double()
    return (below + not_above) / (2 * len(ordered))
