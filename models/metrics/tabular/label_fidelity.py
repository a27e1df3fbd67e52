"""Fidelity of the rows of each label: a rare label weighs as much as a common one."""

import numpy as np
from numpy.typing import NDArray

from models.metrics.scores import Estimate, Score, bootstrap, create_score
from models.metrics.tabular.frames import (
    Binning,
    Bins,
    CategoryMaps,
    Compared,
    Floats,
    NumericFrame,
)
from models.metrics.tabular.target_classes import Classes
from models.training_callbacks import CheckStop

MIN_LABEL_ROWS = 20  # holdout rows; rarer labels are not compared


def score_label_fidelity(
    train: NumericFrame,
    real: NumericFrame,
    compared: Compared,
    binning: Binning,
    category_maps: CategoryMaps,
    target_column: str | None,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """Score the distributions of the columns among the rows of each label.

    The score is the total variation distance of a column to holdout rows of the same label, as mean
    over columns, then over the labels with MIN_LABEL_ROWS holdout rows. A label without samples has
    distance 1. There is no score without such labels.
    """
    if target_column is None or target_column not in real.columns or len(real.columns) < 2:
        return []
    classes = Classes.fit(train, category_maps, target_column)
    if classes is None:
        return []
    real_labels = classes.of(real)
    counts = np.bincount(real_labels[real_labels >= 0], minlength=len(classes))
    labels = np.flatnonzero(counts >= MIN_LABEL_ROWS)
    if not len(labels):
        return []
    real_bins = _other_columns(binning(real), target_column)
    expected = {
        name: _shares(bins, real_labels, binning.sizes[name], len(classes))
        for name, bins in real_bins.items()
    }

    def distances(frame: NumericFrame, index: NDArray[np.int64] | None = None) -> Floats:
        """Return the distance of each label to be compared."""
        check_stop()
        frame = frame if index is None else frame.take(index)
        frame_labels = classes.of(frame)
        columns = [
            _distance(
                expected[name][labels],
                _shares(bins, frame_labels, binning.sizes[name], len(classes))[labels],
            )
            for name, bins in _other_columns(binning(frame), target_column).items()
        ]
        return np.asarray(np.mean(columns, axis=0))

    synthetic, reference, baseline = (distances(frame) for frame in compared)
    resampled = bootstrap(
        lambda index: float(distances(compared[0], index).mean()), len(compared[0]), seed
    )
    return [
        create_score(
            "label_tvd",
            Estimate(float(synthetic.mean()), resampled.error),
            real_reference=float(reference.mean()),
            naive_baseline=float(baseline.mean()),
            per_label={
                classes.names[label]: float(distance)
                for label, distance in zip(labels, synthetic, strict=True)
            },
        )
    ]


def _other_columns(bins: dict[str, Bins], target_column: str) -> dict[str, Bins]:
    return {name: column for name, column in bins.items() if name != target_column}


def _shares(bins: Bins, labels: Bins, size: int, num_labels: int) -> Floats:
    """Return the (num_labels, size) shares of the bins among the rows of each label; 0 if none."""
    has_label = labels >= 0
    cell = labels[has_label] * size + bins[has_label]
    counts = np.bincount(cell, minlength=num_labels * size).reshape(num_labels, size)
    return np.asarray(counts / np.maximum(counts.sum(1, keepdims=True), 1))


def _distance(real: Floats, synthetic: Floats) -> Floats:
    """Return the (L,) total variation distances of (L, size) shares."""
    distance = np.abs(real - synthetic).sum(1) / 2
    return np.where(synthetic.sum(1) == 0, 1.0, distance)
