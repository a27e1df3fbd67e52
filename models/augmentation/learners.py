"""The classifiers that more items are tried on: those of models.measures."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.augmentation.lift import Hits, Learn, Places
from models.images.data import LabelledImages
from models.measures.boosting import classify
from models.measures.classifier import ClassifierSettings, learned, steps_for
from models.measures.rows import FINE, Binned, Names
from models.run import GoOn
from models.tables.columns import as_text
from models.tables.schema import ColumnSchema

EPOCHS = 6  # of the largest set; fewer, and more real items would seem to be of little use
STEPS = (100, 600)


def of_images(data: LabelledImages, classes: int, largest: int, go_on: GoOn) -> Learn:
    """Asked about `data.held_out`. Every training has as many steps, whatever it learns from,
    enough for the `largest` set: more items are not to mean more steps."""
    asked, truth = data.batch(data.held_out)
    shape = (asked.shape[1], asked.shape[2], asked.shape[3])
    steps = steps_for(EPOCHS, largest, STEPS)

    def learn(places: Places, seed: int) -> Hits:
        network = learned(
            lambda index: data.batch(places[index]),
            len(places),
            shape,
            classes,
            ClassifierSettings(steps),
            seed=seed,
            go_on=go_on,
        )
        said = network.look(asked, go_on)[1].argmax(1)
        return np.asarray((said == truth).numpy())

    return learn


def of_rows(
    rows: tuple[pa.Table, NDArray[np.int64]],
    held_out: tuple[pa.Table, NDArray[np.int64]],
    schema: Sequence[ColumnSchema],
    target: str,
    real: Places,
    classes: int,
    go_on: GoOn,
) -> Learn:
    """Rows with their labels; columns are cut into bins by the real ones. Trees are the same again
    for the same rows, so that each training draws its rows anew from those it is given, as many and
    with replacement (bagging, Breiman 1996)."""
    used = [c for c in schema if c.kept and c.type != "id" and c.name != target]
    names = Names(
        {
            c.name: pa.chunked_array(
                [as_text(t.column(c.name).combine_chunks()) for t in (rows[0], held_out[0])]
            )
            .unique()
            .drop_null()
            for c in used
            if c.type in ("category", "boolean")
        }
    )
    columns = [c.name for c in used]
    frames = [names.frame(table, columns) for table in (rows[0], held_out[0])]
    binned = Binned.of(frames[0].take(real), names, FINE)
    x, asked = (binned.matrix(frame) for frame in frames)
    unordered, y = binned.unordered(), rows[1]

    def learn(places: Places, seed: int) -> Hits:
        go_on()
        drawn = np.random.default_rng(seed).choice(places, len(places))
        chances = classify(x[drawn], unordered, y[drawn], classes, asked)
        return np.asarray(chances.argmax(1) == held_out[1])

    return learn
