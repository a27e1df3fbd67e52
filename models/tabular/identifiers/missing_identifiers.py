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
    rows in which the identifier is missing. With `any_value`, all values that are not missing are
    alike, and `values` has an empty text for them, as of a number or another identifier.
    """

    column: str
    values: tuple[str | None, ...]
    others: float
    any_value: bool

    @classmethod
    def fit(cls, identifiers: pa.Array, columns: Mapping[str, pa.Array]) -> Self | None:
        """Choose the column that explains most missing identifiers; None if there is none.

        Integers of few values are examined like texts; of other columns, only missing values.
        """
        rows, missing = len(identifiers), identifiers.null_count
        if not 0 < missing < rows:
            return None
        is_missing = identifiers.is_null().to_numpy(zero_copy_only=False)
        are_alike = {name: not _has_few_values(column) for name, column in columns.items()}
        categories = {
            name: _as_texts(column, any_value=are_alike[name]).dictionary_encode("encode")
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
                others = (missing - explained) / (rows - explained)
                best = cls(name, tuple(values), others, are_alike[name])
                most = explained
        return best

    def apply(self, identifiers: pa.Array, rows: pa.RecordBatch) -> pa.Array:
        """Return the identifiers, without those of rows in which they are missing."""
        texts = _as_texts(rows.column(self.column), any_value=self.any_value)
        is_missing = pc.is_in(texts, value_set=pa.array(self.values, pa.string()))
        return pc.if_else(is_missing, pa.scalar(None, identifiers.type), identifiers)

    def to_json(self) -> dict[str, Any]:
        return {
            "column": self.column,
            "values": list(self.values),
            "others": self.others,
            "any_value": self.any_value,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        values = tuple(fields["values"])
        any_value = fields.get("any_value", {*values} <= {None, ""})
        return cls(fields["column"], values, fields["others"], any_value)


def _has_few_values(column: pa.Array) -> bool:
    """Return True for categories, and for integers with as many values as these at most."""
    is_few = pa.types.is_integer(column.type) and pc.count_distinct(column).as_py() <= MAX_VALUES
    return is_few or bool(pa.types.is_string(column.type))


def _as_texts(column: pa.Array, *, any_value: bool) -> pa.StringArray:
    """Return the values as texts; with `any_value`, an empty text for each of them."""
    if any_value:
        return pc.if_else(column.is_null(), pa.scalar(None, pa.string()), "")
    return column.cast(pa.string())
