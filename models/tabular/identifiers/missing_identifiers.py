"""Rows in which an identifier is missing, which another column may show.

In an export of orders, for example, the lines after the first one of an order lack both the total
and the name of the customer, and in a bank statement only direct debits have a mandate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_VALUES = 100  # different values of a category that is examined
MIN_ROWS = 2  # of a value
MAX_CHANCE = 0.05  # that by chance all rows of any value of any column lack an identifier


@dataclass(frozen=True)
class MissingWith:
    """A column with some of whose values an identifier is missing.

    `values` are these values; None if the column lacks one. `others` is the share of the other
    rows in which the identifier is missing.
    """

    column: str
    values: tuple[str | None, ...]
    others: float

    @classmethod
    def fit(cls, identifiers: pa.Array, columns: Mapping[str, pa.Array]) -> Self | None:
        """Choose the column that explains most missing identifiers; None if there is none.

        Integers of few values are examined like texts; of other columns, only missing values.
        """
        rows, missing = len(identifiers), identifiers.null_count
        if not 0 < missing < rows:
            return None
        is_missing = identifiers.is_null().to_numpy(zero_copy_only=False)
        categories = {
            name: _as_texts(column, only_missing=_has_many_values(column)).dictionary_encode(
                "encode"
            )
            for name, column in columns.items()
        }
        categories = {
            name: encoded
            for name, encoded in categories.items()
            if 1 < len(encoded.dictionary) <= MAX_VALUES
        }
        num_compared = sum(len(encoded.dictionary) for encoded in categories.values())
        best, most = None, 0
        for name, encoded in categories.items():
            codes = encoded.indices.to_numpy()
            counts = np.bincount(codes)
            lacking = np.bincount(codes, is_missing)
            is_lacked = (counts == lacking) & (counts >= MIN_ROWS)
            is_lacked &= (missing / rows) ** counts < MAX_CHANCE / num_compared
            explained = int(counts[is_lacked].sum())
            if explained > most:
                values = encoded.dictionary.filter(pa.array(is_lacked)).to_pylist()
                best = cls(name, tuple(values), (missing - explained) / (rows - explained))
                most = explained
        return best

    def apply(self, identifiers: pa.Array, rows: pa.RecordBatch) -> pa.Array:
        """Return the identifiers, without those of rows in which they are missing."""
        # Of another identifier, as of a number, only the missing values show it.
        only_missing = {*self.values} <= {None, ""}
        texts = _as_texts(rows.column(self.column), only_missing=only_missing)
        is_missing = pc.is_in(texts, value_set=pa.array(self.values, pa.string()))
        return pc.if_else(is_missing, pa.scalar(None, identifiers.type), identifiers)

    def to_json(self) -> dict[str, Any]:
        return {"column": self.column, "values": list(self.values), "others": self.others}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        return cls(fields["column"], tuple(fields["values"]), fields["others"])


def _has_many_values(column: pa.Array) -> bool:
    return pa.types.is_integer(column.type) and pc.count_distinct(column).as_py() > MAX_VALUES


def _as_texts(column: pa.Array, *, only_missing: bool = False) -> pa.StringArray:
    """Return the texts of a category or of integers; an empty text for each value of others."""
    if pa.types.is_string(column.type) and not only_missing:
        return column
    if pa.types.is_integer(column.type) and not only_missing:
        return column.cast(pa.string())
    return pc.if_else(column.is_null(), pa.scalar(None, pa.string()), "")
