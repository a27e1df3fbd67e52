"""Scores of boosted trees that an evaluation trains on the samples."""

import numpy as np
import torch
from torch import Tensor

from models.metrics.gradient_boosting import MIN_LEAF_ROWS, classify, regress
from models.metrics.roc import detection_scores, roc_auc
from models.metrics.scores import Estimate, Score, bootstrap, create_score
from models.metrics.statistics import power_of_two_scale
from models.metrics.tabular.frames import (
    FINE_BINS,
    MAX_CLASSES,
    Binning,
    Bins,
    CategoryMaps,
    Compared,
    NumericFrame,
)
from models.metrics.tabular.related_numbers import RelatedNumbers
from models.training_callbacks import CheckStop

MAX_DETECTION_ROWS = 4_000  # real rows, and as many synthetic rows
MAX_TSTR_ROWS = 24_000


def score_detection(
    real: NumericFrame, compared: Compared, binning: Binning, seed: int, check_stop: CheckStop
) -> list[Score]:
    """Score boosted trees that learn to distinguish synthetic rows from holdout rows.

    There is no score if the holdout rows are too few for a tree with two leaves.
    """
    if min(map(len, (real, *compared))) < 2 * MIN_LEAF_ROWS:
        return []
    return detection_scores(_detect(real, compared, binning, seed, check_stop))


def score_relation_detection(
    train: NumericFrame,
    real: NumericFrame,
    compared: Compared,
    category_maps: CategoryMaps,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """Score the same trees with the differences and ratios of related numbers in sight.

    Trees that split one column after another do not see that two numbers nearly determine each
    other. There is no score if no two numbers are related, or for too few holdout rows.
    """
    if min(map(len, (real, *compared))) < 2 * MIN_LEAF_ROWS:
        return []
    numeric_columns = [name for name in train.columns if name not in category_maps.categories]
    related = RelatedNumbers.fit(train, numeric_columns)
    if not related.pairs:
        return []
    binning = Binning.fit(related.add_to(train), category_maps, FINE_BINS)
    synthetic, reference, baseline = (related.add_to(frame) for frame in compared)
    outputs = _detect(
        related.add_to(real), (synthetic, reference, baseline), binning, seed, check_stop
    )
    value, of_reference, of_baseline = (roc_auc(fakes, reals) for reals, fakes in outputs)
    return [
        create_score(
            "relation_detection_auc",
            value,
            real_reference=of_reference,
            naive_baseline=of_baseline,
        )
    ]


def _detect(
    real: NumericFrame, compared: Compared, binning: Binning, seed: int, check_stop: CheckStop
) -> list[tuple[Tensor, Tensor]]:
    """Return the trees' outputs for holdout rows and for rows of each of the frames.

    Both sets have the same size. The trees are trained on one half and tested on the other.
    """
    rng = np.random.default_rng(seed)
    unordered = binning.unordered()

    def outputs(frame: NumericFrame) -> tuple[Tensor, Tensor]:
        check_stop()
        n = min(len(real), len(frame), MAX_DETECTION_ROWS)
        real_bins, fake_bins = (
            binning.matrix(part.take(rng.permutation(len(part))[:n])) for part in (real, frame)
        )
        half = n // 2
        y = np.arange(2 * half) // half
        test_bins = np.concatenate([real_bins[half:], fake_bins[half:]])
        train_bins = np.concatenate([real_bins[:half], fake_bins[:half]])
        probabilities = torch.from_numpy(classify(train_bins, unordered, y, 2, test_bins)[:, 1])
        return probabilities[: n - half] - 0.5, probabilities[n - half :] - 0.5

    return [outputs(frame) for frame in compared]


def score_tstr(
    real: NumericFrame,
    compared: Compared,
    binning: Binning,
    category_maps: CategoryMaps,
    target_column: str | None,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """Score boosted trees that are trained on samples and predict the target of holdout rows.

    The score is the area under the ROC curve for two classes, macro F1 for more classes, and the
    explained share of the variance (R²) for a numeric target. It is missing if there is no target,
    or if the target has a single class or more than MAX_CLASSES. This is TSTR: train on synthetic,
    test on real.
    """
    if target_column is None or target_column not in real.columns or len(real.columns) < 2:
        return []
    is_number = target_column not in category_maps.categories
    if not is_number and not 2 <= len(category_maps.categories[target_column]) <= MAX_CLASSES:
        return []
    if any(np.isnan(frame.columns[target_column]).all() for frame in (real, *compared)):
        return []
    unordered = binning.unordered(target_column)
    real = real.take(np.flatnonzero(~np.isnan(real.columns[target_column])))
    truth, test_bins = real.columns[target_column], binning.matrix(real, target_column)
    unit = power_of_two_scale(truth)

    def utility(frame: NumericFrame) -> Estimate:
        check_stop()
        labeled = np.flatnonzero(~np.isnan(frame.columns[target_column]))[:MAX_TSTR_ROWS]
        frame = frame.take(labeled)
        x, y = binning.matrix(frame, target_column), frame.columns[target_column]
        if is_number:
            predicted = regress(x, unordered, y[:, None] / unit, test_bins)[:, 0]
            target, variance = truth / unit, (truth / unit).var() or 1.0
            return bootstrap(
                lambda i: float(1 - np.square(predicted[i] - target[i]).mean() / variance),
                len(truth),
                seed,
            )
        classes = len(category_maps.categories[target_column])
        probabilities = classify(x, unordered, y.astype(np.int64), classes, test_bins)
        if classes == 2:
            positive_probability = torch.from_numpy(probabilities[:, 1])
            is_positive = torch.from_numpy(truth == 1)
            if min(int(is_positive.sum()), int((~is_positive).sum())) < 2:
                return Estimate(0.5)
            return roc_auc(positive_probability[is_positive], positive_probability[~is_positive])
        predictions, labels = probabilities.argmax(1), truth.astype(np.int64)
        return bootstrap(lambda i: macro_f1(labels[i], predictions[i]), len(labels), seed)

    value, reference, baseline = (utility(frame) for frame in compared)
    return [create_score("tstr_score", value, real_reference=reference, naive_baseline=baseline)]


def macro_f1(truth: Bins, predictions: Bins) -> float:
    """Return the mean F1 score of the labels that occur in `truth`."""
    scores = []
    for label in np.unique(truth):
        hits = ((truth == label) & (predictions == label)).sum()
        scores.append(2 * hits / ((truth == label).sum() + (predictions == label).sum()))
    return float(np.mean(scores))
