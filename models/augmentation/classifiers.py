"""The classifiers that more items are tried on: those of models.metrics."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.augmentation.lift import CorrectMask, Indices, TrainClassifier
from models.images.data import LabeledImages
from models.metrics.classifier import ClassifierSettings, steps_for, train_classifier
from models.metrics.gradient_boosting import classify
from models.metrics.tabular_evaluation import FINE_BINS, Binning, CategoryMaps
from models.tabular.categorical_columns import as_text
from models.tabular.schema import ColumnSchema
from models.training_callbacks import CheckStop

EPOCHS = 6  # of the largest set; fewer, and more real items would seem to be of little use
STEPS = (100, 600)


def build_image_trainer(
    data: LabeledImages, classes: int, max_set_size: int, check_stop: CheckStop
) -> TrainClassifier:
    """Asked about `data.held_out`. Every training has as many steps, whatever it learns from,
    enough for the `largest` set: more items are not to mean more steps."""
    asked, truth = data.batch(data.holdout)
    shape = (asked.shape[1], asked.shape[2], asked.shape[3])
    steps = steps_for(EPOCHS, max_set_size, STEPS)

    def learn(places: Indices, seed: int) -> CorrectMask:
        network = train_classifier(
            lambda index: data.batch(places[index]),
            len(places),
            shape,
            classes,
            ClassifierSettings(steps),
            seed=seed,
            check_stop=check_stop,
        )
        said = network.predict(asked, check_stop)[1].argmax(1)
        return np.asarray((said == truth).numpy())

    return learn


def build_tabular_trainer(
    rows: tuple[pa.Table, NDArray[np.int64]],
    holdout: tuple[pa.Table, NDArray[np.int64]],
    schema: Sequence[ColumnSchema],
    target_column: str,
    real_indices: Indices,
    classes: int,
    check_stop: CheckStop,
) -> TrainClassifier:
    """Rows with their labels; columns are cut into bins by the real ones. Trees are the same again
    for the same rows, so that each training draws its rows anew from those it is given, as many and
    with replacement (bagging, Breiman 1996)."""
    used = [c for c in schema if c.in_samples and c.type != "id" and c.name != target_column]
    names = CategoryMaps(
        {
            c.name: pa.chunked_array(
                [as_text(t.column(c.name).combine_chunks()) for t in (rows[0], holdout[0])]
            )
            .unique()
            .drop_null()
            for c in used
            if c.type in ("category", "boolean")
        }
    )
    columns = [c.name for c in used]
    frames = [names.to_frame(table, columns) for table in (rows[0], holdout[0])]
    binned = Binning.fit(frames[0].take(real_indices), names, FINE_BINS)
    x, asked = (binned.matrix(frame) for frame in frames)
    unordered, y = binned.unordered(), rows[1]

    def learn(places: Indices, seed: int) -> CorrectMask:
        check_stop()
        drawn = np.random.default_rng(seed).choice(places, len(places))
        chances = classify(x[drawn], unordered, y[drawn], classes, asked)
        return np.asarray(chances.argmax(1) == holdout[1])

    return learn
