"""Samples of images against the held-out real ones, which training never saw."""

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

MAX_PAIRWISE_IMAGES = 4_000  # images that are compared with each other one by one
MAX_NEAREST_QUERIES = 1_000  # images whose neighbours among all training images are looked for
NEIGHBORS = 10
MAX_ATTACKED_IMAGES = 2_000  # training images, and as many unseen ones
ATTACK_IMAGE_SIZE = 16  # pixels on a side, at most, of what an attacker compares
CHUNK_SIZE = 4_000
NEAR_DUPLICATE_QUANTILE = (
    0.01  # of unseen real images are as near to a training image as a near copy
)
TSTR_EPOCHS = 20
TSTR_STEPS = (150, 300)
MAX_DETECTION_IMAGES = 2_000
DETECTION_EPOCHS = 5
DETECTION_STEPS = (60, 150)
MAX_MEMORIZED_DISTANCE_RATIO = 0.5  # of an image's contrast
MIN_HOLDOUT_ITEMS = 20  # held-out images to judge by
MAX_SCATTER_ITEMS = 1_000  # images whose main directions are looked for
MIN_LABEL_ITEMS = 10  # of a label that is shown by itself
MIN_LABEL_ITEMS_FOR_FRECHET = 200  # of one whose distance is: of fewer it is mostly their number


@dataclass(frozen=True)
class ImageSet:
    """Some images in pixels and features; `labels` as asked for, `said` as the yardstick sees."""

    images: Tensor
    labels: Tensor
    features: Tensor
    predicted_labels: Tensor


@dataclass(frozen=True)
class NearestTrainImages:
    """The nearest training image of each of some samples."""

    indices: NDArray[np.int64]  # (Q,) places in the data set
    near_duplicate_rate: Estimate
    memorization_rate: Estimate
    real_reference: tuple[float, float]
    distances: dict[str, list[float]] | None  # of unseen images and of samples


@dataclass(frozen=True)
class EvaluationResult:
    scores: list[Score]
    nearest_train_indices: NDArray[np.int64]  # of the first samples, the nearest training images
    report_sections: dict[str, Any]  # what a report shows besides, by name


def evaluate(
    classifier: EvaluationClassifier,
    data: LabeledImages,
    synthetic: tuple[NDArray[np.uint8], NDArray[np.int64]],
    label_names: list[str],
    *,
    seed: int,
    check_stop: CheckStop,
) -> EvaluationResult:
    """`data.held_out` is what nothing has seen, not even the yardstick; at least ENOUGH images.
    Samples are compared with as many training images (the real reference) and with Gaussians of pixels
    (the naive baseline)."""
    rng = np.random.default_rng(seed)
    pixels, labels = synthetic

    def seen(x: Tensor, y: Tensor) -> ImageSet:
        return ImageSet(x, y, *classifier.predict(x, check_stop))

    count = len(pixels)
    fake = seen(
        *LabeledImages(pixels, labels.astype(np.int32), *_no_indices()).batch(np.arange(count))
    )
    # In no order: a set may come sorted by label, and some measures look at the first few.
    real = seen(*data.batch(rng.permutation(data.holdout)))
    chosen = rng.choice(data.train, min(count, len(data.train)), replace=False)
    ceiling = seen(*data.batch(chosen))
    baseline = seen(
        baselines.sample_gaussians(ceiling.images, ceiling.labels, fake.labels, seed),
        fake.labels,
    )
    three = (fake, ceiling, baseline)
    scores = _distances(real, three, label_names, seed, check_stop)
    scores += _coverage(real, three, label_names, rng)
    scores += _detection(real, three, seed, check_stop)
    if classifier.classes > 1:
        scores += [
            _label_accuracy(real, three, label_names),
            _tstr(real, three, label_names, seed, check_stop),
        ]
    near = _memorization(data, fake.images, real.images, rng, check_stop)
    scores += [
        create_score(
            "near_duplicate_rate",
            near.near_duplicate_rate,
            "lower",
            real_reference=near.real_reference[0],
        ),
        create_score(
            "memorization_rate",
            near.memorization_rate,
            "lower",
            real_reference=near.real_reference[1],
        ),
    ]
    scores += _membership(data, real.images, fake.images, baseline.images, rng, seed, check_stop)
    features = [look.features[:MAX_SCATTER_ITEMS].double().numpy() for look in (real, fake)]
    views = {
        "statistics": _statistics(real, fake, label_names),
        "scatter": pca_2d(*features),
        "nearest_train_distance": near.distances,
    }
    return EvaluationResult(scores, near.indices, views)


def _statistics(real: ImageSet, fake: ImageSet, names: list[str]) -> list[dict[str, Any]]:
    """Of the mean and the standard deviation of each image's pixels, from 0 to 255, for all and for
    each label."""
    found = []
    for label, name in [(None, None), *enumerate(names)]:
        sides = [
            look.images if label is None else look.images[look.labels == label]
            for look in (real, fake)
        ]
        for column, measure in (("brightness", torch.mean), ("contrast", torch.std)):
            shift = 127.5 if column == "brightness" else 0.0
            one, other = (
                (measure(side.flatten(1), dim=1) * 127.5 + shift).double().numpy() for side in sides
            )
            about = {"column": column, "type": "number", "label": name}
            compared = {"real": describe(one), "synthetic": describe(other)}
            found.append({**about, **compared, "histogram": histogram(one, other)})
    return found


def _no_indices() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.empty(0, np.int64), np.empty(0, np.int64)


Compared = tuple[ImageSet, ImageSet, ImageSet]  # samples, real reference, naive baseline


def _distances(
    real: ImageSet, compared: Compared, names: list[str], seed: int, check_stop: CheckStop
) -> list[Score]:
    def far(look: ImageSet) -> float:
        check_stop()
        return frechet_distance(real.features, look.features)

    def drawn_again(index: NDArray[np.int64]) -> float:
        check_stop()
        return frechet_distance(real.features, fake.features[torch.from_numpy(index)])

    fake, ceiling, baseline = compared
    found = bootstrap(drawn_again, len(fake.features), seed)
    apart = [kernel_distance(real.features, look.features, check_stop) for look in compared]
    each = {}
    for label, name in enumerate(names):
        mine = [look.features[look.labels == label] for look in (real, fake)]
        if min(map(len, mine)) >= MIN_LABEL_ITEMS_FOR_FRECHET:
            each[name] = frechet_distance(*mine)
    return [
        create_score(
            "frechet_distance",
            found,
            "lower",
            real_reference=far(ceiling),
            naive_baseline=far(baseline),
            per_label=each,
        ),
        create_score(
            "kernel_distance", apart[0], "lower", real_reference=apart[1], naive_baseline=apart[2]
        ),
    ]


def _coverage(
    real: ImageSet, compared: Compared, names: list[str], rng: np.random.Generator
) -> list[Score]:
    which = torch.from_numpy(rng.permutation(len(real.features))[:MAX_PAIRWISE_IMAGES])
    features, labels = real.features[which], real.labels[which]
    parts = [
        torch.from_numpy(rng.permutation(len(look.features))[:MAX_PAIRWISE_IMAGES])
        for look in compared
    ]
    found = [
        find_manifold_hits(features, look.features[p])
        for look, p in zip(compared, parts, strict=True)
    ]
    made_labels = compared[0].labels[parts[0]]
    measures: list[tuple[str, Callable[[ManifoldHits], Tensor], Tensor]] = [
        ("precision", lambda p: p.precise, made_labels),
        ("recall", lambda p: p.recalled, labels),
        ("density", lambda p: p.density, made_labels),
        ("coverage", lambda p: p.covered, labels),
    ]
    scores = []
    for name, measure, of in measures:
        value, ceiling, baseline = (_mean(measure(p)) for p in found)
        each = _by_label(measure(found[0]), of, names)
        scores.append(
            create_score(
                name,
                value,
                "higher",
                real_reference=ceiling,
                naive_baseline=baseline,
                per_label=each,
            )
        )
    return scores


def _mean(values: Tensor) -> Estimate:
    return Estimate.from_items(values.double().numpy())


def _by_label(values: Tensor, labels: Tensor, names: list[str]) -> dict[str, float]:
    found = {}
    for index, name in enumerate(names):
        mine = values[labels == index]
        if len(mine) >= MIN_LABEL_ITEMS:
            found[name] = float(mine.double().mean())
    return found


def _label_accuracy(real: ImageSet, compared: Compared, names: list[str]) -> Score:
    """Unseen images are the ceiling: of those that it learned from, a yardstick knows the labels by
    heart."""
    fake, _, baseline = compared
    right = [look.predicted_labels == look.labels for look in (fake, real, baseline)]
    return create_score(
        "label_accuracy",
        _mean(right[0]),
        "higher",
        real_reference=_mean(right[1]),
        naive_baseline=_mean(right[2]),
        per_label=_by_label(right[0], compared[0].labels, names),
    )


def _tstr(
    real: ImageSet, compared: Compared, names: list[str], seed: int, check_stop: CheckStop
) -> Score:
    """Accuracy on the held-out images of a classifier that has seen nothing but the samples."""
    shape = (real.images.shape[1], real.images.shape[2], real.images.shape[3])

    def right(look: ImageSet) -> Tensor:
        def batch(index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            return look.images[index], look.labels[index]

        count = len(look.images)
        network = train_classifier(
            batch,
            count,
            shape,
            len(names),
            ClassifierSettings(steps_for(TSTR_EPOCHS, count, TSTR_STEPS)),
            seed=seed,
            check_stop=check_stop,
        )
        said = network.predict(real.images, check_stop)[1].argmax(1)
        return said == real.labels

    found = [right(look) for look in compared]
    return create_score(
        "tstr_score",
        _mean(found[0]),
        "higher",
        real_reference=_mean(found[1]),
        naive_baseline=_mean(found[2]),
        per_label=_by_label(found[0], real.labels, names),
    )


def _detection(real: ImageSet, compared: Compared, seed: int, check_stop: CheckStop) -> list[Score]:
    """Of a fresh critic, which learns from one half of as many held-out images and samples, and is
    asked about the other."""
    shape = (real.images.shape[1], real.images.shape[2], real.images.shape[3])
    rng = np.random.default_rng(seed)

    def said(look: ImageSet) -> tuple[Tensor, Tensor]:
        n = min(len(real.images), len(look.images), MAX_DETECTION_IMAGES)
        one, other = (
            part.images[torch.from_numpy(rng.permutation(len(part.images))[:n])]
            for part in (real, look)
        )
        half = n // 2
        x = torch.cat([one[:half], other[:half]])
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
        logits = [network.predict(part[half:], check_stop)[1] for part in (one, other)]
        return logits[0][:, 1] - logits[0][:, 0], logits[1][:, 1] - logits[1][:, 0]

    return detection_scores([said(look) for look in compared])


def _memorization(
    data: LabeledImages, fake: Tensor, real: Tensor, rng: np.random.Generator, check_stop: CheckStop
) -> NearestTrainImages:
    """How near samples lie to training images, in pixels. A near copy is nearer to one than 99 % of
    unseen real images are. Smooth samples are, too: one that was replayed is besides much nearer to
    one training image than to its next ones (as in Carlini et al. 2023, 2301.13188). Blurred ones
    lie near the few smooth training images: a replay is nearer than half of what makes its training
    image differ from a plain one."""
    looked = fake[:MAX_NEAREST_QUERIES]
    unseen = real[torch.from_numpy(rng.permutation(len(real))[:MAX_NEAREST_QUERIES])]
    near, places = _nearest(data, torch.cat([looked, unseen]).flatten(1), check_stop)
    alone = near[:, 0] / near[:, 1:].mean(1).clamp(min=1e-9)
    n, half = len(looked), (len(looked) + len(near)) // 2
    close, single = (of[n:half].quantile(NEAR_DUPLICATE_QUANTILE) for of in (near[:, 0], alone))
    copied = near[:, 0] < close
    shown = data.batch(places.numpy())[0].flatten(1)
    contrast = shown.std(1, correction=0) * shown.shape[1] ** 0.5
    replayed = copied & (alone < single) & (near[:, 0] < MAX_MEMORIZED_DISTANCE_RATIO * contrast)
    return NearestTrainImages(
        places[:n].numpy(),
        _mean(copied[:n]),
        _mean(replayed[:n]),
        (float(copied[half:].float().mean()), float(replayed[half:].float().mean())),
        histogram(*(side.double().numpy() for side in (near[n:, 0], near[:n, 0]))),
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
    """In pixels of small images: the yardstick has seen the training images, and would tell them
    from the others by itself. One half of the held-out ones is attacked with as many training
    images, the other half is what an attacker knows."""
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
    """(N,) from each item to the nearest of the others."""
    found = []
    for part in items.split(CHUNK_SIZE // 8):
        check_stop()
        found.append(torch.cdist(part, others).min(1).values)
    return torch.cat(found)


@torch.inference_mode()
def _nearest(data: LabeledImages, looked: Tensor, check_stop: CheckStop) -> tuple[Tensor, Tensor]:
    """(Q, NEIGHBOURS) distances to the nearest training images and (Q,) the place of the first."""
    size = looked.square().sum(1, keepdim=True)
    best = torch.full((len(looked), 0), 0.0)
    index = torch.full((len(looked), 0), 0)
    # Images without a label may have been learned from with a guessed one.
    seen = np.sort(np.concatenate([data.train, data.unlabeled]))
    for first in range(0, len(seen), CHUNK_SIZE):
        check_stop()
        part = seen[first : first + CHUNK_SIZE]
        images = data.batch(part)[0].flatten(1)
        far = (size + images.square().sum(1) - 2 * looked @ images.T).clamp(min=0)
        best = torch.cat([best, far], 1)
        index = torch.cat([index, torch.from_numpy(part).expand(len(looked), -1)], 1)
        k = min(NEIGHBORS, best.shape[1])
        best, order = best.topk(k, dim=1, largest=False)
        index = index.gather(1, order)
    return best.sqrt(), index[:, 0]
