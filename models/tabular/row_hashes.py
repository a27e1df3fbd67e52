"""Hashes of training rows, with which samples can exclude them."""

from collections.abc import Collection
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text

BATCH_ROWS = 65_536
MISSING_MARK, VALUE_SEPARATOR = "\x00", "\x1f"  # in the text of a row


def hash_table(table: pa.Table, ignored: Collection[str]) -> NDArray[np.int64]:
    """Return the sorted, different hashes of the rows of a table."""
    batches = table.to_batches(max_chunksize=BATCH_ROWS)
    return np.unique(np.concatenate([hash_rows(batch, ignored) for batch in batches]))


def hash_rows(rows: pa.RecordBatch, ignored: Collection[str]) -> NDArray[np.int64]:
    """Return the (N,) hashes of rows, without the columns `ignored`."""
    texts = [
        as_text(column).fill_null(MISSING_MARK)
        for name, column in zip(rows.schema.names, rows.columns, strict=True)
        if name not in ignored
    ]
    lines = pc.binary_join_element_wise(*texts, VALUE_SEPARATOR).to_pylist()
    digests = b"".join(blake2b(line.encode(), digest_size=8).digest() for line in lines)
    return np.frombuffer(digests, np.int64)
