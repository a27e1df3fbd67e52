"""Global utility: how well each column can be predicted from the others, learned from samples."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.metrics.gradient_boosting import regress
from models.metrics.scores import Estimate, Score, bootstrap, create_score
from models.metrics.statistics import power_of_two_scale
from models.metrics.tabular.frames import (
    Binning,
    Bins,
    CategoryMaps,
    Compared,
    Floats,
    NumericFrame,
    sample_rows,
)
from models.metrics.tabular.target_classes import Classes
from models.training_callbacks import CheckStop

MAX_PREDICTED_COLUMNS = 12
MAX_PREDICTED_CLASSES = 20  # columns of more classes are not predicted
MIN_CLASS_ROWS = 5  # test rows: the recall of rarer classes is chance
MAX_TRAIN_ROWS, MAX_TEST_ROWS = 2_000, 3_000
PREDICTOR_BINS, PREDICTOR_TREES, PREDICTOR_DEPTH = 32, 25, 4
TAIL_FRACTION = 0.005  # numbers beyond these quantiles would determine R²

Quality = Callable[[NDArray[np.int64]], float]  # of the predictions for some test rows


def score_global_utility(
    train: NumericFrame,
    real: NumericFrame,
    compared: Compared,
    category_maps: CategoryMaps,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """Score predictors of each column, trained on samples and tested on holdout rows.

    The score is the mean over columns of R² (at least 0) of numbers and of the balanced accuracy of
    classes (TabStruct, Jiang et al. 2025, 2509.11950). It is missing if no column can be predicted.
    """
    rng = np.random.default_rng(seed)
    binning = Binning.fit(train, category_maps, PREDICTOR_BINS)
    real = sample_rows(real, MAX_TEST_ROWS, rng)
    sources = [sample_rows(frame, MAX_TRAIN_ROWS, rng) for frame in compared]
    columns = list(train.columns)
    # The same columns for all models of a dataset, so that their scores can be compared.
    order = np.random.default_rng(0).permutation(len(columns))
    targets = [columns[i] for i in sorted(order[:MAX_PREDICTED_COLUMNS])]
    qualities: list[dict[str, Quality]] = []
    for source in sources:
        qualities.append({})
        for column in targets if len(columns) > 1 else []:
            check_stop()
            quality = _quality(train, real, source, binning, category_maps, column)
            if quality is not None:
                qualities[-1][column] = quality
    predicted = [name for name in targets if all(name in side for side in qualities)]
    if not predicted:
        return []

    def mean(side: dict[str, Quality], index: NDArray[np.int64]) -> float:
        return float(np.mean([side[name](index) for name in predicted]))

    everything = np.arange(len(real))
    value = bootstrap(lambda index: mean(qualities[0], index), len(real), seed)
    return [
        create_score(
            "global_utility",
            Estimate(value.value, value.error),
            real_reference=mean(qualities[1], everything),
            naive_baseline=mean(qualities[2], everything),
            per_label={name: qualities[0][name](everything) for name in predicted},
        )
    ]


def _quality(
    train: NumericFrame,
    real: NumericFrame,
    source: NumericFrame,
    binning: Binning,
    category_maps: CategoryMaps,
    column: str,
) -> Quality | None:
    """Train a predictor of the column on `source`, and return its quality on rows of `real`."""
    x, test_x = binning.matrix(source, column), binning.matrix(real, column)
    unordered = binning.unordered(column)
    classes = Classes.fit(train, category_maps, column)
    if classes is not None:
        y, truth = classes.of(source), classes.of(real)
        y, truth = (np.where(part < 0, len(classes), part) for part in (y, truth))  # missing
        frequent = np.flatnonzero(np.bincount(truth) >= MIN_CLASS_ROWS)
        if len(frequent) < 2 or len(classes) > MAX_PREDICTED_CLASSES:
            return None
        outputs = np.eye(len(classes) + 1)[y]
        prediction = _predict(x, unordered, outputs, test_x).argmax(1)
        return lambda index: _balanced_accuracy(truth[index], prediction[index], frequent)
    low, high = np.nanquantile(train.columns[column], [TAIL_FRACTION, 1 - TAIL_FRACTION])
    scale = power_of_two_scale(np.array([low, high]))
    numbers, truths = (np.clip(f.columns[column], low, high) / scale for f in (source, real))
    if np.isnan(truths).all():
        return None
    is_known = ~np.isnan(numbers)
    if not is_known.any():
        return lambda _: 0.0
    predictions = _predict(x[is_known], unordered, numbers[is_known, None], test_x)
    return lambda index: _r2(truths[index], predictions[index, 0])


def _predict(x: Bins, unordered: NDArray[np.bool_], y: Floats, test_x: Bins) -> Floats:
    return regress(x, unordered, y, test_x, trees=PREDICTOR_TREES, depth=PREDICTOR_DEPTH)


def _balanced_accuracy(truth: Bins, prediction: Bins, classes: Bins) -> float:
    """Return the mean recall of those of the `classes` that occur."""
    counts = np.bincount(truth, minlength=classes.max() + 1)
    hits = np.bincount(truth[truth == prediction], minlength=len(counts))
    occurring = classes[counts[classes] > 0]
    return float((hits[occurring] / counts[occurring]).mean()) if len(occurring) else 0.0


def _r2(truth: Floats, prediction: Floats) -> float:
    """Return the explained share of the variance, at least 0; NaN is ignored."""
    variance = np.nanvar(truth)
    if not variance > 0:
        return 0.0
    return max(0.0, float(1 - np.nanmean(np.square(prediction - truth)) / variance))
