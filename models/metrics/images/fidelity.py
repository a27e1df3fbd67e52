"""Scores of samples by the features and labels of the evaluation classifier."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.metrics.coverage import ManifoldHits, find_manifold_hits
from models.metrics.distances import frechet_distance, kernel_distance
from models.metrics.images.image_set import Compared, ImageSet, mean_by_label, mean_of
from models.metrics.scores import Score, bootstrap, create_score
from models.training_callbacks import CheckStop

MAX_PAIRWISE_IMAGES = 4_000  # for metrics of all pairs
MIN_LABEL_ITEMS_FOR_FRECHET = 200  # the bias of the distance dominates for fewer images


def score_distances(
    real: ImageSet, compared: Compared, names: list[str], seed: int, check_stop: CheckStop
) -> list[Score]:
    def distance(image_set: ImageSet) -> float:
        check_stop()
        return frechet_distance(real.features, image_set.features)

    def distance_of_resampled(index: NDArray[np.int64]) -> float:
        check_stop()
        return frechet_distance(real.features, fake.features[torch.from_numpy(index)])

    fake, reference, baseline = compared
    frechet = bootstrap(distance_of_resampled, len(fake.features), seed)
    kernel = [
        kernel_distance(real.features, image_set.features, check_stop) for image_set in compared
    ]
    per_label = {}
    for label, name in enumerate(names):
        features = [image_set.features[image_set.labels == label] for image_set in (real, fake)]
        if min(map(len, features)) >= MIN_LABEL_ITEMS_FOR_FRECHET:
            per_label[name] = frechet_distance(*features)
    return [
        create_score(
            "frechet_distance",
            frechet,
            real_reference=distance(reference),
            naive_baseline=distance(baseline),
            per_label=per_label,
        ),
        create_score(
            "kernel_distance",
            kernel[0],
            real_reference=kernel[1],
            naive_baseline=kernel[2],
        ),
    ]


def score_coverage(
    real: ImageSet, compared: Compared, names: list[str], rng: np.random.Generator
) -> list[Score]:
    chosen = torch.from_numpy(rng.permutation(len(real.features))[:MAX_PAIRWISE_IMAGES])
    features, labels = real.features[chosen], real.labels[chosen]
    chosen_by_set = [
        torch.from_numpy(rng.permutation(len(image_set.features))[:MAX_PAIRWISE_IMAGES])
        for image_set in compared
    ]
    hits_by_set = [
        find_manifold_hits(features, image_set.features[indices])
        for image_set, indices in zip(compared, chosen_by_set, strict=True)
    ]
    fake_labels = compared[0].labels[chosen_by_set[0]]
    metrics: list[tuple[str, Callable[[ManifoldHits], Tensor], Tensor]] = [
        ("precision", lambda hits: hits.precise, fake_labels),
        ("recall", lambda hits: hits.recalled, labels),
        ("density", lambda hits: hits.density, fake_labels),
        ("coverage", lambda hits: hits.covered, labels),
    ]
    scores = []
    for name, metric, item_labels in metrics:
        value, reference, baseline = (mean_of(metric(hits)) for hits in hits_by_set)
        scores.append(
            create_score(
                name,
                value,
                real_reference=reference,
                naive_baseline=baseline,
                per_label=mean_by_label(metric(hits_by_set[0]), item_labels, names),
            )
        )
    return scores


def score_label_accuracy(real: ImageSet, compared: Compared, names: list[str]) -> Score:
    """Score the share of samples that the evaluation classifier assigns to their requested label.

    The reference is the holdout: the classifier has memorized the labels of its training images.
    """
    fake, _, baseline = compared
    correct = [
        image_set.predicted_labels == image_set.labels for image_set in (fake, real, baseline)
    ]
    return create_score(
        "label_accuracy",
        mean_of(correct[0]),
        real_reference=mean_of(correct[1]),
        naive_baseline=mean_of(correct[2]),
        per_label=mean_by_label(correct[0], compared[0].labels, names),
    )
