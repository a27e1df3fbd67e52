"""A model of rows that makes one and the same row is not handed out as one that learned. Images
are watched while they are learned."""

import numpy as np

from core.errors import JobError
from core.storage import Storage, Stored
from core.tables import Checkpoint
from models.generator import load
from models.measures.variety import one_row
from models.tables.data import LabelledRows
from models.tables.sampling import RowSampler

ROWS = 256


def check_rows(checkpoint: Checkpoint, rows: LabelledRows, storage: Storage) -> None:
    """Raises JobError when all rows are the same but for their identifiers."""
    with storage.open(Stored.from_dict(checkpoint.files["model"])) as path:
        generator = load(path)
    assert isinstance(generator, RowSampler)  # noqa: S101 - it was trained as one
    learned = [column.name for column in generator.encoding.columns]
    made = generator.draw(0, np.arange(ROWS, dtype=np.int64)).rows
    if one_row(made, rows.part(rows.train[:ROWS]).select(learned)):
        raise JobError(
            "collapsed",
            "the model makes the same row again and again; "
            "train longer, with another seed, or with another preset",
        )
