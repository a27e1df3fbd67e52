"""Images with their features, and means of values of their items."""

from dataclasses import dataclass

from torch import Tensor

from models.metrics.scores import Estimate

MIN_LABEL_ITEMS = 10  # for scores of a single label


@dataclass(frozen=True)
class ImageSet:
    """Images with their features and labels.

    `labels` are the true or requested labels; the evaluation classifier gives `predicted_labels`.
    """

    images: Tensor
    labels: Tensor
    features: Tensor
    predicted_labels: Tensor


Compared = tuple[ImageSet, ImageSet, ImageSet]  # samples, real reference, naive baseline


def mean_of(values: Tensor) -> Estimate:
    return Estimate.from_items(values.double().numpy())


def mean_by_label(values: Tensor, labels: Tensor, names: list[str]) -> dict[str, float]:
    """Return the mean value of each label that has at least MIN_LABEL_ITEMS items."""
    means = {}
    for index, name in enumerate(names):
        label_values = values[labels == index]
        if len(label_values) >= MIN_LABEL_ITEMS:
            means[name] = float(label_values.double().mean())
    return means
