"""ROC metrics: measures of how well a number separates two sets of items."""

from collections.abc import Sequence

from torch import Tensor, cat, searchsorted

from models.metrics.scores import Z95, Estimate, Score, create_score


def roc_auc(positives: Tensor, negatives: Tensor) -> Estimate:
    """Return the area under the ROC curve of (N,) positives and (M,) negatives.

    It equals the share of all pairs in which the positive is larger; equal pairs count one half.
    The error is that of DeLong et al. 1988. N and M must be at least 2.
    """
    share_below = _rank(positives, negatives)  # for each positive
    share_above = 1 - _rank(negatives, positives)  # for each negative
    variance = share_below.var() / len(share_below) + share_above.var() / len(share_above)
    return Estimate(float(share_below.mean()), Z95 * float(variance.sqrt()))


def accuracy(positives: Tensor, negatives: Tensor) -> Estimate:
    """Return the share of positives that are above 0 and negatives that are not."""
    return Estimate.from_items(cat([positives > 0, negatives <= 0]).double().numpy())


def detection_scores(predictions: Sequence[tuple[Tensor, Tensor]]) -> list[Score]:
    """Score critics that were trained to distinguish samples from real items.

    `predictions` holds three pairs: for the model's samples, for real items in place of samples
    (the real reference), and for naive samples. Each pair has (N,) outputs for held-out real items
    and (M,) outputs for samples; outputs above 0 mean "sample".
    """
    scores = []
    for name, metric in (("detection_auc", roc_auc), ("detection_accuracy", accuracy)):
        value, reference, baseline = (metric(synthetic, real) for real, synthetic in predictions)
        scores.append(create_score(name, value, real_reference=reference, naive_baseline=baseline))
    return scores


def _rank(values: Tensor, others: Tensor) -> Tensor:
    """Return (N,): for each value, the share of smaller others; equal ones count one half."""
    ordered, values = others.sort().values, values.contiguous()
    below = searchsorted(ordered, values, right=False).double()
    not_above = searchsorted(ordered, values, right=True).double()
    return (below + not_above) / (2 * len(ordered))
