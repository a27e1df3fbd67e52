"""Columns that a relation with exceptions determines: a mark where it does, else the value."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import NumberGrid, round_to_digits
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import FLOAT_TOLERANCE, Rows, array

MIN_ON_ONE_SIDE = 20  # other values, above or below what the relation determines


@dataclass(frozen=True)
class MarkedColumn:
    """A column of numbers that equals what `relation` determines in most rows.

    Such rows have the mark `first_mark`. Where a key has several numbers, those after the first one
    have the marks below it. Other values, between `low` and `high`, stay as they are; marks are
    below all of them. Numbers are in units of the last of the column's `decimals`; -1 decimals:
    floats. Where a mark is sampled, but a source is missing, the value is `default`. If all other
    values are above what the relation determines, the `side` is 1, and -1 if they are below: then
    values on the other side become what it determines.
    """

    name: str
    relation: Relation
    decimals: int
    low: float
    high: float
    default: float
    side: int = 0

    @classmethod
    def fit(cls, relation: Relation, table: pa.Table) -> Self:
        """Return the coding of the last column of a relation. `table` has the training rows."""
        values = array(table, relation.last)
        grid = NumberGrid.fit(values)
        numbers, is_missing = grid.to_grid(values)
        present = numbers[~is_missing]
        middle = float(np.sort(present)[len(present) // 2])
        low, high = float(present.min()), float(present.max())
        column = cls(relation.last, relation, grid.decimals, low, high, middle)
        if relation.num_ranks > 1:
            return column
        difference = np.where(is_missing, np.nan, numbers) - column._possible(table)[0]
        signs = np.sign(difference[(difference != 0) & np.isfinite(difference)])
        is_one_side = len(signs) >= MIN_ON_ONE_SIDE and len(np.unique(signs)) == 1
        return replace(column, side=int(signs[0])) if is_one_side else column

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for name in self.relation.columns if name != self.name)

    @property
    def first_mark(self) -> float:
        """Return the mark, which is far below all values, so that no bin has both."""
        return self.low - max(self.high - self.low, 1.0)

    def coded_type(self, _: pa.DataType) -> pa.DataType:
        return pa.float64() if self.decimals < 0 else pa.int64()

    def encode(self, rows: Rows, arrow: pa.DataType) -> pa.Array:
        values = array(rows, self.name)
        numbers, is_missing = NumberGrid(values.type, self.decimals).to_grid(values)
        coded = numbers
        possible = self._possible(rows)
        for rank in reversed(range(len(possible))):
            mark = np.asarray(self.first_mark - rank).astype(numbers.dtype)
            coded = np.where(self._equals(numbers, possible[rank]), mark, coded)
        return pa.array(coded, self.coded_type(arrow), mask=is_missing)

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        grid = NumberGrid(pa.int64() if self.decimals >= 0 else pa.float64(), min(self.decimals, 0))
        numbers, is_missing = grid.to_grid(array(coded, self.name))
        possible = self._possible(coded)
        # Between the marks and the values, there is nothing to sample.
        is_mark = numbers < (self.first_mark + self.low) / 2
        rank = np.clip(np.rint(self.first_mark - numbers), 0, len(possible) - 1).astype(np.int64)
        chosen = possible[np.where(is_mark, rank, 0), np.arange(len(numbers))]
        chosen = np.where(np.isnan(chosen), possible[0], chosen)
        chosen = np.where(np.isnan(chosen), self.default, chosen)
        own = np.clip(numbers, self.low, self.high)
        if self.side:
            bound = np.where(np.isnan(possible[0]), own, possible[0])
            own = np.maximum(own, bound) if self.side > 0 else np.minimum(own, bound)
        result = np.where(is_mark, chosen, own)
        if self.decimals >= 0:
            result = np.where(is_mark, np.rint(chosen), own).astype(np.int64)
        return NumberGrid(arrow, self.decimals).from_grid(result, is_missing)

    def own_values(
        self, low: pa.Array, high: pa.Array, arrow: pa.DataType
    ) -> tuple[pa.Array, pa.Array]:
        """Return the values of those ranges of coded numbers, (N,) each, that are not marks."""
        grid = NumberGrid(low.type, min(self.decimals, 0))
        highest, is_missing = grid.to_grid(high)
        is_own = pa.array((highest >= (self.first_mark + self.low) / 2) & ~is_missing)
        ends = []
        for values in (low, high):
            numbers, _ = grid.to_grid(values.filter(is_own))
            ends.append(
                NumberGrid(arrow, self.decimals).from_grid(
                    np.clip(numbers, self.low, self.high).astype(numbers.dtype),
                    np.zeros(len(numbers), bool),
                )
            )
        return ends[0], ends[1]

    def _possible(self, rows: Rows) -> Floats:
        """Return the (M, N) rounded numbers that the others give, in units; NaN where none."""
        possible = self.relation.possible_numbers(rows)
        is_missing = ~np.isfinite(possible)
        numbers = np.where(is_missing, 0.0, possible)
        numbers = round_to_digits(numbers, self.relation.digits, self.decimals)
        # A few odd values may have more decimals than the relation.
        decimals = max(self.relation.decimals, 0)
        if self.decimals >= 0:
            decimals = min(self.decimals, decimals)
            numbers = np.floor(numbers * 10.0**decimals + 0.5 + 1e-9)
            numbers = np.rint(numbers * 10.0 ** (self.decimals - decimals))
        elif self.relation.decimals >= 0:
            numbers = np.floor(numbers * 10.0**decimals + 0.5 + 1e-9) / 10.0**decimals
        return np.where(is_missing, np.nan, numbers)

    def _equals(self, numbers: NDArray[Any], computed: Floats) -> NDArray[np.bool_]:
        tolerance = FLOAT_TOLERANCE * np.abs(computed) if self.decimals < 0 else 0.0
        return np.asarray(np.abs(numbers - computed) <= tolerance)

    def pack(self) -> dict[str, Any]:
        packed = {**asdict(self), "marked_by": self.relation.pack()}
        del packed["relation"]
        if not self.side:
            del packed["side"]
        return packed

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "MarkedColumn":
        others = {name: value for name, value in packed.items() if name != "marked_by"}
        return cls(relation=Relation.unpack(packed["marked_by"]), **others)
