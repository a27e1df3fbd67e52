"""Possible values of the columns of rows: ranges of numbers and masks of texts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats, from_text
from models.tabular.relations.rows import FLOAT_TOLERANCE, as_floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PossibleValues:
    """The possible values of the columns of N rows.

    Numbers, dates and times are between the (N,) floats of `low` and `high`, and texts are those of
    the (N, K) masks of `texts`, next to the K distinct ones. Columns in `present` (N,) have a value
    where it is True, and may lack one elsewhere. Columns of the `arrow` schema that are in none of
    these may have any value.
    """

    arrow: pa.Schema
    low: Mapping[str, Floats]
    high: Mapping[str, Floats]
    texts: Mapping[str, tuple[pa.Array, Mask]]
    present: Mapping[str, Mask]

    @property
    def is_empty(self) -> Mask:
        """The (N,) mask of rows in which some column must have a value, but cannot."""
        return self.is_empty_in([*self.low, *self.texts])

    def is_empty_in(self, names: Iterable[str]) -> Mask:
        """Return the (N,) mask of rows in which one of some columns must have a value, but cannot.

        Columns without ranges and masks can.
        """
        empty = np.zeros(len(next(iter(self.present.values()))), bool)
        for name in names:
            if name in self.low:
                empty |= (self.low[name] > self.high[name]) & self.present[name]
            elif name in self.texts:
                empty |= ~self.texts[name][1].any(1) & self.present[name]
        return empty

    def has_all(self, names: Iterable[str]) -> bool:
        """Return True if columns have ranges or masks."""
        return all(name in self.low or name in self.texts for name in names)

    def differing(self, other: Self, names: Iterable[str]) -> set[str]:
        """Return the columns among `names` that have other possible values in `other`."""
        fields = (self.low, other.low), (self.high, other.high), (self.texts, other.texts)
        return {n for n in names if any(a.get(n) is not b.get(n) for a, b in fields)}

    def allowed(self, name: str, values: Sequence[Any]) -> Mask:
        """Return the (N, P) mask of the P `values`, texts or numbers, that a column may have."""
        if name in self.low:
            numbers = self._numbers(name, values)
            return np.asarray(
                (self.low[name][:, None] <= numbers) & (numbers <= self.high[name][:, None])
            )
        _, mask = self.texts[name]
        return np.asarray(np.pad(mask, ((0, 0), (0, 1)))[:, self._places(name, values)])

    def with_range(self, name: str, low: Floats, high: Floats) -> Self:
        """Return a copy in which a column of numbers is also between `low` and `high` (N,)."""
        old_low, old_high = self.low[name], self.high[name]
        tolerance = FLOAT_TOLERANCE * np.maximum(np.abs(old_low), np.abs(old_high))
        tolerance = np.nan_to_num(tolerance, nan=0.0, posinf=0.0)
        if not ((low > old_low + tolerance) | (high < old_high - tolerance)).any():
            return self
        new_low, new_high = np.maximum(low, old_low), np.minimum(high, old_high)
        if pa.types.is_integer(self.arrow.field(name).type):
            new_low, new_high = np.ceil(new_low - 1e-6), np.floor(new_high + 1e-6)
        return replace(self, low={**self.low, name: new_low}, high={**self.high, name: new_high})

    def with_mask(self, name: str, mask: Mask) -> Self:
        """Return a copy in which a column of texts has one of those in the (N, K) mask."""
        values, old = self.texts[name]
        if not (old & ~mask).any():
            return self
        return replace(self, texts={**self.texts, name: (values, old & mask)})

    def with_values(
        self,
        name: str,
        values: Sequence[Any],
        possible: Mask,
        is_used: Mask,
        also: Mask | None = None,
    ) -> Self:
        """Return a copy in which a column has one of the P `values` in the (N, P) mask `possible`.

        They are texts or numbers. Rows that are not in `is_used` (N,) stay as they are, and so do
        the texts in `also` (N, K).
        """
        if name in self.low:
            numbers = self._numbers(name, values)
            low = np.where(possible, numbers, np.inf).min(1, initial=np.inf)
            high = np.where(possible, numbers, -np.inf).max(1, initial=-np.inf)
            low = np.where(is_used, low, -np.inf)
            return self.with_range(name, low, np.where(is_used, high, np.inf))
        known, mask = self.texts[name]
        rows, columns = np.nonzero(possible)
        new = np.zeros((len(mask), len(known) + 1), bool)
        new[rows, self._places(name, values)[columns]] = True
        new = new[:, :-1] | ~is_used[:, None]
        return self.with_mask(name, new if also is None else new | also)

    def _places(self, name: str, texts: Sequence[str | None]) -> NDArray[np.int64]:
        """Return the (P,) indices of texts among the K ones of a column, K for others."""
        known, _ = self.texts[name]
        index = pa.compute.index_in(pa.array(texts, pa.string()), value_set=known)
        return np.asarray(index.fill_null(len(known)).to_numpy(zero_copy_only=False), np.int64)

    def _numbers(self, name: str, values: Sequence[Any]) -> Floats:
        """Return the (P,) numbers of a column that are given as such or as texts; NaN for None."""
        if all(value is None or isinstance(value, int | float) for value in values):
            return np.array([np.nan if value is None else value for value in values], float)
        return as_floats(from_text(pa.array(values, pa.string()), self.arrow.field(name).type))
