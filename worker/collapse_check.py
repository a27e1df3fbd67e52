"""A model of rows that makes one and the same row is not handed out as one that learned. Images
are watched while they are learned."""

import numpy as np

from core.errors import JobError
from core.storage import Storage, StoredObject
from core.tables import Checkpoint
from models.load import load_sampler
from models.metrics.collapse import is_collapsed
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler

CHECKED_ROWS = 256


def check_table_collapse(checkpoint: Checkpoint, rows: LabeledRows, storage: Storage) -> None:
    """Raises JobError when all rows are the same but for their identifiers."""
    with storage.open(StoredObject.from_dict(checkpoint.files["model"])) as path:
        generator = load_sampler(path)
    assert isinstance(generator, TableSampler)  # noqa: S101 - it was trained as one
    learned = [column.name for column in generator.tokenizer.columns]
    made = generator.sample(0, np.arange(CHECKED_ROWS, dtype=np.int64)).rows
    if is_collapsed(made, rows.take(rows.train[:CHECKED_ROWS]).select(learned)):
        raise JobError(
            "collapsed",
            "the model makes the same row again and again; "
            "train longer, with another seed, or with another preset",
        )
