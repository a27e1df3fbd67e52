"""Evaluation of synthetic images against held-out real images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.images.data import LabeledImages
from models.metrics import baselines
from models.metrics.classifier import ClassifierSettings, steps_for, train_classifier
from models.metrics.coverage import ManifoldHits, find_manifold_hits
from models.metrics.distances import frechet_distance, kernel_distance
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.membership_inference import attack_membership
from models.metrics.roc import detection_scores
from models.metrics.scores import Estimate, Score, bootstrap, create_score
from models.metrics.statistics import describe, histogram, pca_2d
from models.training_callbacks import CheckStop

MAX_PAIRWISE_IMAGES = 4_000  # for metrics of all pairs
MAX_NEAREST_QUERIES = 1_000  # images that are compared with all training images
NEIGHBORS = 10
MAX_ATTACKED_IMAGES = 2_000  # training images, and as many holdout images
ATTACK_IMAGE_SIZE = 16  # maximum side in pixels for the membership inference attack
CHUNK_SIZE = 4_000
# A sample that is closer to a training image than 99 % of the holdout images is a near duplicate.
NEAR_DUPLICATE_QUANTILE = 0.01
TSTR_EPOCHS = 20
TSTR_STEPS = (150, 300)
MAX_DETECTION_IMAGES = 2_000
DETECTION_EPOCHS = 5
DETECTION_STEPS = (60, 150)
MAX_MEMORIZED_DISTANCE_RATIO = 0.5  # relative to the contrast of the training image
MAX_SCATTER_ITEMS = 1_000  # images for the principal components
MIN_LABEL_ITEMS = 10  # for scores of a single label
MIN_LABEL_ITEMS_FOR_FRECHET = 200  # the bias of the distance dominates for fewer images


@dataclass(frozen=True)
class ImageSet:
    """Images with their features and labels.

    `labels` are the true or requested labels; the evaluation classifier gives `predicted_labels`.
    """

    images: Tensor
    labels: Tensor
    features: Tensor
    predicted_labels: Tensor


@dataclass(frozen=True)
class NearestTrainImages:
    """Comparison of Q samples with their nearest training images."""

    indices: NDArray[np.int64]  # (Q,) of the training images, in the dataset
    near_duplicate_rate: Estimate
    memorization_rate: Estimate
    real_reference: tuple[float, float]  # both rates of holdout images
    distances: dict[str, list[float]] | None  # histogram for holdout images and samples


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
) -> EvaluationResult:
    """Evaluate synthetic pixels and labels against the holdout of `data`.

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
    scores = _distances(real, compared, label_names, seed, check_stop)
    scores += _coverage(real, compared, label_names, rng)
    scores += _detection(real, compared, seed, check_stop)
    if classifier.classes > 1:
        scores += [
            _label_accuracy(real, compared, label_names),
            _tstr(real, compared, label_names, seed, check_stop),
        ]
    nearest = _memorization(data, fake.images, real.images, rng, check_stop)
    scores += [
        create_score(
            "near_duplicate_rate",
            nearest.near_duplicate_rate,
            "lower",
            real_reference=nearest.real_reference[0],
        ),
        create_score(
            "memorization_rate",
            nearest.memorization_rate,
            "lower",
            real_reference=nearest.real_reference[1],
        ),
    ]
    scores += _membership(data, real.images, fake.images, baseline.images, rng, seed, check_stop)
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


Compared = tuple[ImageSet, ImageSet, ImageSet]  # samples, real reference, naive baseline


def _distances(
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
            "lower",
            real_reference=distance(reference),
            naive_baseline=distance(baseline),
            per_label=per_label,
        ),
        create_score(
            "kernel_distance",
            kernel[0],
            "lower",
            real_reference=kernel[1],
            naive_baseline=kernel[2],
        ),
    ]


def _coverage(
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
        value, reference, baseline = (_mean(metric(hits)) for hits in hits_by_set)
        scores.append(
            create_score(
                name,
                value,
                "higher",
                real_reference=reference,
                naive_baseline=baseline,
                per_label=_by_label(metric(hits_by_set[0]), item_labels, names),
            )
        )
    return scores


def _mean(values: Tensor) -> Estimate:
    return Estimate.from_items(values.double().numpy())


def _by_label(values: Tensor, labels: Tensor, names: list[str]) -> dict[str, float]:
    """Return the mean value of each label that has at least MIN_LABEL_ITEMS items."""
    means = {}
    for index, name in enumerate(names):
        label_values = values[labels == index]
        if len(label_values) >= MIN_LABEL_ITEMS:
            means[name] = float(label_values.double().mean())
    return means


def _label_accuracy(real: ImageSet, compared: Compared, names: list[str]) -> Score:
    """Score the share of samples that the evaluation classifier assigns to their requested label.

    The reference is the holdout: the classifier has memorized the labels of its training images.
    """
    fake, _, baseline = compared
    correct = [
        image_set.predicted_labels == image_set.labels for image_set in (fake, real, baseline)
    ]
    return create_score(
        "label_accuracy",
        _mean(correct[0]),
        "higher",
        real_reference=_mean(correct[1]),
        naive_baseline=_mean(correct[2]),
        per_label=_by_label(correct[0], compared[0].labels, names),
    )


def _tstr(
    real: ImageSet, compared: Compared, names: list[str], seed: int, check_stop: CheckStop
) -> Score:
    """Score the accuracy, on the holdout, of a classifier that is trained on the samples only.

    This is TSTR: train on synthetic, test on real.
    """
    shape = (real.images.shape[1], real.images.shape[2], real.images.shape[3])

    def is_correct(image_set: ImageSet) -> Tensor:
        def batch(index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            return image_set.images[index], image_set.labels[index]

        count = len(image_set.images)
        network = train_classifier(
            batch,
            count,
            shape,
            len(names),
            ClassifierSettings(steps_for(TSTR_EPOCHS, count, TSTR_STEPS)),
            seed=seed,
            check_stop=check_stop,
        )
        predictions = network.predict(real.images, check_stop)[1].argmax(1)
        return predictions == real.labels

    correct = [is_correct(image_set) for image_set in compared]
    return create_score(
        "tstr_score",
        _mean(correct[0]),
        "higher",
        real_reference=_mean(correct[1]),
        naive_baseline=_mean(correct[2]),
        per_label=_by_label(correct[0], real.labels, names),
    )


def _detection(real: ImageSet, compared: Compared, seed: int, check_stop: CheckStop) -> list[Score]:
    """Score a new critic that learns to distinguish samples from holdout images.

    Both sets have the same size. The critic is trained on one half and tested on the other.
    """
    shape = (real.images.shape[1], real.images.shape[2], real.images.shape[3])
    rng = np.random.default_rng(seed)

    def critic_outputs(image_set: ImageSet) -> tuple[Tensor, Tensor]:
        n = min(len(real.images), len(image_set.images), MAX_DETECTION_IMAGES)
        real_part, fake_part = (
            part.images[torch.from_numpy(rng.permutation(len(part.images))[:n])]
            for part in (real, image_set)
        )
        half = n // 2
        x = torch.cat([real_part[:half], fake_part[:half]])
        y = torch.arange(2 * half) // half
        steps = steps_for(DETECTION_EPOCHS, len(x), DETECTION_STEPS)
        network = train_classifier(
            lambda index: (x[index], y[index]),
            len(x),
            shape,
            2,
            ClassifierSettings(steps),
            seed=seed,
            check_stop=check_stop,
        )
        logits = [network.predict(part[half:], check_stop)[1] for part in (real_part, fake_part)]
        return logits[0][:, 1] - logits[0][:, 0], logits[1][:, 1] - logits[1][:, 0]

    return detection_scores([critic_outputs(image_set) for image_set in compared])


def _memorization(
    data: LabeledImages, fake: Tensor, real: Tensor, rng: np.random.Generator, check_stop: CheckStop
) -> NearestTrainImages:
    """Detect copies of training images by distances in pixels.

    A near duplicate is closer to a training image than 99 % of the holdout images are. Smooth
    samples are, too. So a memorized sample must meet two more conditions:

    - It is much closer to one training image than to the next ones (as in Carlini et al. 2023,
      2301.13188).
    - Its distance is less than half of the contrast of the training image, which is the distance of
      that image to a uniform one. Blurred samples are close to the few smooth training images.

    One half of the holdout images sets the thresholds, and the other half gives the reference.
    """
    queries = fake[:MAX_NEAREST_QUERIES]
    holdout = real[torch.from_numpy(rng.permutation(len(real))[:MAX_NEAREST_QUERIES])]
    distances, indices = _nearest(data, torch.cat([queries, holdout]).flatten(1), check_stop)
    isolation = distances[:, 0] / distances[:, 1:].mean(1).clamp(min=1e-9)
    n, half = len(queries), (len(queries) + len(distances)) // 2
    max_distance, max_isolation = (
        values[n:half].quantile(NEAR_DUPLICATE_QUANTILE) for values in (distances[:, 0], isolation)
    )
    is_near = distances[:, 0] < max_distance
    nearest_images = data.batch(indices.numpy())[0].flatten(1)
    contrast = nearest_images.std(1, correction=0) * nearest_images.shape[1] ** 0.5
    is_memorized = (
        is_near
        & (isolation < max_isolation)
        & (distances[:, 0] < MAX_MEMORIZED_DISTANCE_RATIO * contrast)
    )
    return NearestTrainImages(
        indices[:n].numpy(),
        _mean(is_near[:n]),
        _mean(is_memorized[:n]),
        (float(is_near[half:].float().mean()), float(is_memorized[half:].float().mean())),
        histogram(*(side.double().numpy() for side in (distances[n:, 0], distances[:n, 0]))),
    )


def _membership(
    data: LabeledImages,
    real: Tensor,
    fake: Tensor,
    naive_samples: Tensor,
    rng: np.random.Generator,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """Attack the samples by distances in pixels of downscaled images.

    Features are unsuitable: the classifier was trained on the training images, so its features
    distinguish them from holdout images. One half of the holdout is attacked together with as many
    training images; the other half is the attacker's reference.
    """
    order = torch.from_numpy(rng.permutation(len(real)))
    n = min(len(real) // 2, MAX_ATTACKED_IMAGES)
    chosen = rng.choice(data.train, min(n, len(data.train)), replace=False)
    groups = data.batch(np.sort(chosen))[0], real[order[:n]], real[order[n:]], fake, naive_samples
    return attack_membership(
        *map(_downscale, groups),
        nearest=partial(_nearest_distances, check_stop=check_stop),
        seed=seed,
    )


def _downscale(images: Tensor) -> Tensor:
    height, width = (min(side, ATTACK_IMAGE_SIZE) for side in images.shape[2:])
    return F.adaptive_avg_pool2d(images, (height, width)).flatten(1)


def _nearest_distances(items: Tensor, others: Tensor, check_stop: CheckStop) -> Tensor:
    """Return (N,) distances from each item to the nearest of the others."""
    distances = []
    for part in items.split(CHUNK_SIZE // 8):
        check_stop()
        distances.append(torch.cdist(part, others).min(1).values)
    return torch.cat(distances)


@torch.inference_mode()
def _nearest(data: LabeledImages, queries: Tensor, check_stop: CheckStop) -> tuple[Tensor, Tensor]:
    """Find the training images that are closest to Q flattened images.

    Returns:
        (Q, NEIGHBORS) distances in ascending order, and (Q,) indices of the closest images.
    """
    query_norms = queries.square().sum(1, keepdim=True)
    best = torch.full((len(queries), 0), 0.0)
    index = torch.full((len(queries), 0), 0)
    # The model may have been trained on unlabeled images, with pseudo-labels.
    candidates = np.sort(np.concatenate([data.train, data.unlabeled]))
    for start in range(0, len(candidates), CHUNK_SIZE):
        check_stop()
        part = candidates[start : start + CHUNK_SIZE]
        images = data.batch(part)[0].flatten(1)
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a . b: one matrix product instead of Q x N differences.
        squared = (query_norms + images.square().sum(1) - 2 * queries @ images.T).clamp(min=0)
        best = torch.cat([best, squared], 1)
        index = torch.cat([index, torch.from_numpy(part).expand(len(queries), -1)], 1)
        k = min(NEIGHBORS, best.shape[1])
        best, order = best.topk(k, dim=1, largest=False)
        index = index.gather(1, order)
    return best.sqrt(), index[:, 0]
