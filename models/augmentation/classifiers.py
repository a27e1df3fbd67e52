"""The classifiers of lift experiments, from models.metrics."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from models.augmentation.lift import CorrectMask, Indices, TrainClassifier
from models.images.data import LabeledImages
from models.metrics.classifier import ClassifierSettings, steps_for, train_classifier
from models.metrics.gradient_boosting import classify
from models.metrics.tabular.frames import FINE_BINS, Binning, CategoryMaps
from models.placement import CPU
from models.tabular.schema import ColumnSchema
from models.training_callbacks import CheckStop

EPOCHS = 6  # over the largest set; with fewer, additional real items seem less useful than they are
STEPS = (100, 600)  # minimum and maximum


def build_image_trainer(
    data: LabeledImages,
    classes: int,
    max_set_size: int,
    check_stop: CheckStop,
    device: torch.device = CPU,
) -> TrainClassifier:
    """Return a function that trains a classifier on some images and tests it on `data.holdout`.

    Every training has the same number of steps, enough for `max_set_size` images, so that larger
    sets do not get more steps.
    """
    holdout_images, truth = data.batch(data.holdout)
    shape = (holdout_images.shape[1], holdout_images.shape[2], holdout_images.shape[3])
    steps = steps_for(EPOCHS, max_set_size, STEPS)

    def train(indices: Indices, seed: int) -> CorrectMask:
        network = train_classifier(
            lambda batch: data.batch(indices[batch]),
            len(indices),
            shape,
            classes,
            ClassifierSettings(steps),
            seed=seed,
            check_stop=check_stop,
            device=device,
        )
        predictions = network.predict(holdout_images, check_stop)[1].argmax(1)
        return np.asarray((predictions == truth).numpy())

    return train


def build_tabular_trainer(
    rows: tuple[pa.Table, NDArray[np.int64]],
    holdout: tuple[pa.Table, NDArray[np.int64]],
    schema: Sequence[ColumnSchema],
    target_column: str,
    real_indices: Indices,
    classes: int,
    check_stop: CheckStop,
) -> TrainClassifier:
    """Return a function that trains gradient-boosted trees on some rows and tests them.

    `rows` and `holdout` are tables with their labels. Bins of numeric columns are fitted to the
    real rows. Trees are deterministic for the same rows, so each training draws a bootstrap sample
    of its rows to vary (bagging, Breiman 1996).
    """
    feature_columns = [
        column
        for column in schema
        if column.in_samples and column.type != "id" and column.name != target_column
    ]
    categories = CategoryMaps.fit((rows[0], holdout[0]), feature_columns)
    names = [column.name for column in feature_columns]
    frames = [categories.to_frame(table, names) for table in (rows[0], holdout[0])]
    binning = Binning.fit(frames[0].take(real_indices), categories, FINE_BINS)
    x, x_holdout = (binning.matrix(frame) for frame in frames)
    unordered, y = binning.unordered(), rows[1]

    def train(indices: Indices, seed: int) -> CorrectMask:
        check_stop()
        bootstrap = np.random.default_rng(seed).choice(indices, len(indices))
        probabilities = classify(x[bootstrap], unordered, y[bootstrap], classes, x_holdout)
        return np.asarray(probabilities.argmax(1) == holdout[1])

    return train
