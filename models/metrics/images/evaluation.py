"""Evaluation of synthetic images against held-out real images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.images.data import LabeledImages
from models.metrics import baselines
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.images.fidelity import (
    score_coverage,
    score_distances,
    score_label_accuracy,
)
from models.metrics.images.image_set import ImageSet
from models.metrics.images.memorization import compare_with_train_images, score_membership
from models.metrics.images.trained_classifiers import score_detection, score_tstr
from models.metrics.scores import Score
from models.metrics.statistics import describe, histogram, pca_2d
from models.placement import CPU
from models.training_callbacks import CheckStop

MAX_SCATTER_ITEMS = 1_000  # images for the principal components


@dataclass(frozen=True)
class EvaluationResult:
    scores: list[Score]
    nearest_train_indices: NDArray[np.int64]  # nearest training image of each of the first samples
    report_sections: dict[str, Any]  # further content of the report, by name


def evaluate(
    classifier: EvaluationClassifier,
    data: LabeledImages,
    synthetic: tuple[NDArray[np.uint8], NDArray[np.int64]],
    label_names: list[str],
    *,
    seed: int,
    check_stop: CheckStop,
    device: torch.device = CPU,
) -> EvaluationResult:
    """Evaluate synthetic pixels and labels against the holdout of `data`.

    Networks and the comparison with all training images run on `device`; the classifier is there.

    The holdout must have at least 20 images that neither the model nor the classifier was trained
    on. Every metric is also computed for as many training images in place of the samples (the real
    reference) and for samples of Gaussians over pixels (the naive baseline).
    """
    rng = np.random.default_rng(seed)
    pixels, labels = synthetic

    def to_image_set(x: Tensor, y: Tensor) -> ImageSet:
        return ImageSet(x, y, *classifier.predict(x, check_stop))

    count = len(pixels)
    fake = to_image_set(
        *LabeledImages(pixels, labels.astype(np.int32), *_no_indices()).batch(np.arange(count))
    )
    # Shuffled, because a dataset may be sorted by label and some metrics use the first items only.
    real = to_image_set(*data.batch(rng.permutation(data.holdout)))
    chosen = rng.choice(data.train, min(count, len(data.train)), replace=False)
    reference = to_image_set(*data.batch(chosen))
    baseline = to_image_set(
        baselines.sample_gaussians(reference.images, reference.labels, fake.labels, seed),
        fake.labels,
    )
    compared = (fake, reference, baseline)
    scores = score_distances(real, compared, label_names, seed, check_stop)
    scores += score_coverage(real, compared, label_names, rng)
    scores += score_detection(real, compared, seed, check_stop, device)
    if classifier.classes > 1:
        scores += [
            score_label_accuracy(real, compared, label_names),
            score_tstr(real, compared, label_names, seed, check_stop, device),
        ]
    nearest = compare_with_train_images(data.on(device), fake.images, real.images, rng, check_stop)
    scores += nearest.scores()
    scores += score_membership(
        data, real.images, fake.images, baseline.images, rng, seed, check_stop
    )
    features = [
        image_set.features[:MAX_SCATTER_ITEMS].double().numpy() for image_set in (real, fake)
    ]
    report_sections = {
        "statistics": _statistics(real, fake, label_names),
        "scatter": pca_2d(*features),
        "nearest_train_distance": nearest.distances,
    }
    return EvaluationResult(scores, nearest.indices, report_sections)


def _statistics(real: ImageSet, fake: ImageSet, names: list[str]) -> list[dict[str, Any]]:
    """Describe the brightness and the contrast of images, for all of them and for each label.

    These are the mean and the standard deviation of an image's pixels, on the scale from 0 to 255.
    """
    sections = []
    for label, name in [(None, None), *enumerate(names)]:
        sides = [
            image_set.images if label is None else image_set.images[image_set.labels == label]
            for image_set in (real, fake)
        ]
        for column, statistic in (("brightness", torch.mean), ("contrast", torch.std)):
            shift = 127.5 if column == "brightness" else 0.0
            real_values, fake_values = (
                (statistic(side.flatten(1), dim=1) * 127.5 + shift).double().numpy()
                for side in sides
            )
            sections.append(
                {
                    "column": column,
                    "type": "number",
                    "label": name,
                    "real": describe(real_values),
                    "synthetic": describe(fake_values),
                    "histogram": histogram(real_values, fake_values),
                }
            )
    return sections


def _no_indices() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.empty(0, np.int64), np.empty(0, np.int64)
