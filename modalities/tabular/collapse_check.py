"""Check that a tabular model does not always generate the same row.

Image models need no such check: the training loop monitors their coverage.
"""

import numpy as np

from core.errors import JobError
from core.storage import Storage, StoredObject
from core.tables import Checkpoint
from models.checkpoint import unpack
from models.metrics.collapse import is_collapsed
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler

CHECKED_ROWS = 256


def check_table_collapse(checkpoint: Checkpoint, rows: LabeledRows, storage: Storage) -> None:
    """Raise JobError if all generated rows are equal, except for their ids."""
    with storage.open(StoredObject.from_dict(checkpoint.files["model"])) as path:
        sampler = TableSampler.load(*unpack(path))
    learned = sampler.tokenizer.column_names
    synthetic = sampler.sample(0, np.arange(CHECKED_ROWS, dtype=np.int64)).rows
    if is_collapsed(synthetic, rows.take(rows.train[:CHECKED_ROWS]).select(learned)):
        raise JobError(
            "collapsed",
            "The model always generates the same row. Train longer, or with another `seed` or "
            "`preset`.",
        )
