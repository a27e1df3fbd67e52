"""Identifiers that a learned column determines, such as the name and phone number of a customer.

In a table of orders, all rows of one customer have the same name. Samples have the numbers of
customers of the table, and each of them has one new name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MIN_REPEATS = 20  # rows of a key after its first one
MIN_REPEATED_KEYS = 10  # keys with several rows
MIN_AGREEMENT = 0.98  # share of the rows after the first one of a key that have its identifier


@dataclass(frozen=True)
class KeyedValues:
    """The column that determines an identifier, and its different values, the keys."""

    column: str
    keys: tuple[str, ...]

    @classmethod
    def fit(cls, identifiers: pa.Array, columns: Mapping[str, pa.Array]) -> Self | None:
        """Choose the column with the fewest keys that determines the identifiers; None: none does.

        `identifiers` and `columns` have a value for each row.
        """
        codes = _codes(identifiers)
        best: Self | None = None
        for name, column in columns.items():
            encoded = column.cast(pa.string()).dictionary_encode()
            has_key = encoded.is_valid().to_numpy(zero_copy_only=False)
            keys = encoded.indices.filter(encoded.is_valid()).to_numpy().astype(np.int64)
            fewer = best is None or len(encoded.dictionary) < len(best.keys)
            if fewer and _determine(keys, codes[has_key]):
                best = cls(name, tuple(sorted(encoded.dictionary.to_pylist())))
        return best

    def positions(self, rows: pa.RecordBatch) -> pa.Int64Array:
        """Return the number of each row's key; null for other values of the column."""
        texts = rows.column(self.column).cast(pa.string())
        return pc.index_in(texts, value_set=pa.array(self.keys, pa.string())).cast(pa.int64())

    def to_json(self) -> dict[str, Any]:
        return {"column": self.column, "keys": list(self.keys)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        return cls(fields["column"], tuple(fields["keys"]))


def _codes(values: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a number for each different value, and one for missing ones."""
    encoded = values.dictionary_encode("encode")
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)


def _determine(
    keys: np.ndarray[Any, np.dtype[Any]], codes: np.ndarray[Any, np.dtype[np.int64]]
) -> bool:
    """Return True if nearly all rows of each key have the same identifier."""
    sizes = np.bincount(keys) if len(keys) else np.zeros(1, np.int64)
    repeats = len(keys) - int((sizes > 0).sum())
    if repeats < MIN_REPEATS or (sizes > 1).sum() < MIN_REPEATED_KEYS:
        return False
    # Each further identifier of a key is a row without that of the key. Most columns have few
    # values, so the number of identifiers rules them out without a search for pairs.
    most_pairs = len(keys) - MIN_AGREEMENT * repeats
    if np.count_nonzero(np.bincount(codes)) > most_pairs:
        return False
    pairs, counts = np.unique(keys * (codes.max() + 1) + codes, return_counts=True)
    if len(pairs) > most_pairs:
        return False
    most = np.zeros(len(sizes), np.int64)
    np.maximum.at(most, pairs // (codes.max() + 1), counts)
    return bool(most.sum() - (sizes > 0).sum() >= MIN_AGREEMENT * repeats)
