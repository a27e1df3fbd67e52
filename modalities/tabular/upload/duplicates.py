"""Rows of a table that repeat earlier rows."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.datasets.data_quality import MAX_STORED_EXAMPLES, Issue, Severity
from modalities.tabular.typed_parquet import TypedParquet

_MISSING = 0x5D1B8F3A9C27E460  # instead of the bits of a value
DUPLICATE_WARNING_FRACTION = 0.01  # of the rows; with fewer duplicates, the issue is an info


def duplicates_issue(rows: TypedParquet) -> Issue | None:
    """Report rows that repeat an earlier row, compared by a 64-bit hash."""
    hashes = [_hashes(batch) for batch in rows.spool.batches()]
    if not hashes:
        return None
    all_hashes = np.concatenate(hashes)
    is_copy = np.ones(len(all_hashes), bool)
    is_copy[np.unique(all_hashes, return_index=True)[1]] = False
    copies = np.flatnonzero(is_copy)
    severity: Severity = (
        "warning" if len(copies) > DUPLICATE_WARNING_FRACTION * len(all_hashes) else "info"
    )
    hint = "These rows repeat earlier rows; remove them unless they are meant as weights."
    examples = tuple(f"row {int(index) + 1:,}" for index in copies[:MAX_STORED_EXAMPLES])
    return Issue("duplicate", severity, len(copies), examples, hint) if len(copies) else None


def _hashes(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    """Return a hash of each row (N,): the values of its columns, mixed one after another."""
    hashes = np.zeros(len(batch), np.uint64)
    for column in batch.columns:
        hashes = _mixed(hashes ^ _column_hashes(column))
    return hashes


def _column_hashes(values: pa.Array) -> NDArray[np.uint64]:
    if values.type == pa.string():
        encoded = values.dictionary_encode()
        distinct = np.array([*map(hash, encoded.dictionary.to_pylist()), _MISSING], np.int64)
        codes = encoded.indices.fill_null(-1).to_numpy()
        return np.asarray(distinct[codes].view(np.uint64))
    if values.type == pa.float64():
        bits = values.fill_null(0).to_numpy().view(np.uint64)
    else:
        bits = values.cast(pa.int64()).fill_null(0).to_numpy().view(np.uint64)
    is_missing = values.is_null().to_numpy(zero_copy_only=False)
    return np.where(is_missing, np.uint64(_MISSING), bits)


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the numbers with their bits mixed (SplitMix64; Steele, Lea and Flood, 2014)."""
    hashes = hashes + np.uint64(0x9E3779B97F4A7C15)
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
