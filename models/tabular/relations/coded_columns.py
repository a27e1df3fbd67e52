"""Columns as relations to other columns code them: left out, as a remainder or as a distance."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import from_text
from models.tabular.numbers.grid import NumberGrid, round_to_digits
from models.tabular.relations.dates.calendar_columns import CalendarColumn
from models.tabular.relations.dates.columns import DateGapColumn, PartColumn, SpreadColumn
from models.tabular.relations.kinds import GIVES_TEXT
from models.tabular.relations.marked_columns import MarkedColumn
from models.tabular.relations.near.close_columns import CloseColumn
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import Rows, array, as_floats

Names = tuple[str, ...]
GRID_TOLERANCE = 1e-6  # of a bound, in units of the last decimal of the bounded column


@dataclass(frozen=True)
class DerivedColumn:
    """A column that a relation determines.

    If it is not `omitted`, the coded column holds its values where the relation determines none,
    and a constant elsewhere, or also its values if it is `learned`; it is null where the column is.
    """

    name: str
    relation: Relation
    decimals: int
    omitted: bool
    learned: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for name in self.relation.columns if name != self.name)

    def coded_type(self, arrow: pa.DataType) -> pa.DataType | None:
        """Return the type of the coded column, or None if it is left out."""
        return None if self.omitted else arrow

    def encode(self, rows: Rows, arrow: pa.DataType) -> pa.Array:
        values = array(rows, self.name)
        if self.learned:
            return values
        is_determined = pa.compute.and_(self._compute(rows, arrow).is_valid(), values.is_valid())
        return pa.compute.if_else(is_determined, self._constant(arrow), values)

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        computed = self._compute(coded, arrow)
        if self.omitted:
            return computed
        values = array(coded, self.name)
        is_determined = pa.compute.and_(computed.is_valid(), values.is_valid())
        return pa.compute.if_else(is_determined, computed, values)

    def _compute(self, rows: Rows, arrow: pa.DataType) -> pa.Array:
        """Return the values that the other columns determine, null where they do not."""
        if self.relation.kind in GIVES_TEXT:
            return from_text(self.relation.look_up(rows), arrow)
        numbers = self.relation.solve(rows, self.name)
        is_missing = ~np.isfinite(numbers)
        if self.name == self.relation.last:
            numbers = np.where(is_missing, 0.0, numbers)
            numbers = round_to_digits(numbers, self.relation.digits, self.decimals)
        grid = NumberGrid(arrow, self.decimals)
        return grid.from_floats(np.where(is_missing, 0.0, numbers), is_missing)

    def _constant(self, arrow: pa.DataType) -> pa.Scalar:
        if self.relation.kind in GIVES_TEXT:
            values = [value for value in self.relation.values if value is not None]
            return from_text(pa.array(values[:1], pa.string()), arrow)[0]
        return NumberGrid(arrow, 0).from_grid(np.zeros(1, np.int64), np.zeros(1, bool))[0]

    def pack(self) -> dict[str, Any]:
        return {**asdict(self), "relation": self.relation.pack()}


@dataclass(frozen=True)
class BoundedColumn:
    """A column as its distance from the largest of `lower` or from the smallest of `upper`.

    Where these are missing, it is the distance from `default`. If both sides are bounded, the
    distance is measured from `upper`, and decoded values do not go below `lower`.
    """

    name: str
    lower: tuple[str, ...]
    upper: tuple[str, ...]
    decimals: int
    default: float

    @classmethod
    def fit(cls, name: str, lower: Names, upper: Names, table: pa.Table) -> Self:
        """Return the coding of a column. `table` has the training rows."""
        grid = NumberGrid.fit(array(table, name))
        numbers, is_missing = grid.to_grid(array(table, name))
        return cls(name, lower, upper, grid.decimals, _usual(numbers[~is_missing], grid.decimals))

    @property
    def sources(self) -> Names:
        return self.lower + self.upper

    def coded_type(self, _: pa.DataType) -> pa.DataType:
        return pa.float64() if self.decimals < 0 else pa.int64()

    def encode(self, rows: Rows, _: pa.DataType) -> pa.Array:
        values = array(rows, self.name)
        numbers, is_missing = NumberGrid(values.type, self.decimals).to_grid(values)
        bound, _ = self._main_bound(rows)
        distance = bound - numbers if self.upper else numbers - bound
        return pa.array(distance, mask=is_missing)

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        values = array(coded, self.name)
        distance, is_missing = NumberGrid(values.type, min(self.decimals, 0)).to_grid(values)
        bound, has_bound = self._main_bound(coded)
        distance = np.where(has_bound, np.abs(distance), distance)
        numbers = bound - distance if self.upper else bound + distance
        if self.upper and self.lower:
            lowest, has_lowest = self._bound(coded, self.lower, largest=True)
            numbers = np.where(has_lowest, np.maximum(numbers, lowest), numbers)
        return NumberGrid(arrow, self.decimals).from_grid(numbers, is_missing)

    def _main_bound(self, rows: Rows) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        return self._bound(rows, self.upper or self.lower, largest=not self.upper)

    def _bound(
        self, rows: Rows, names: tuple[str, ...], *, largest: bool
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the (N,) bound by the columns that are present, and the mask of rows with one."""
        default = self.default if self.decimals < 0 else int(self.default)
        bound = np.full(len(rows), default)
        has_bound = np.zeros(len(rows), bool)
        for name in names:
            numbers, is_missing = self._on_grid(array(rows, name), round_up=largest)
            tighter = np.maximum(bound, numbers) if largest else np.minimum(bound, numbers)
            tighter = np.where(has_bound, tighter, numbers)
            bound = np.where(is_missing, bound, tighter)
            has_bound |= ~is_missing
        return bound, has_bound

    def _on_grid(
        self, values: pa.Array, *, round_up: bool
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return a bound in units of this column's last decimal, and the mask of missing values."""
        if self.decimals == 0 and not pa.types.is_floating(values.type):
            return NumberGrid(values.type, 0).to_grid(values)
        floats = as_floats(values)
        is_missing = np.isnan(floats)
        floats = np.where(is_missing, 0.0, floats)
        if self.decimals < 0:
            return floats, is_missing
        scaled = floats * 10.0**self.decimals
        nearest = np.rint(scaled)
        rounded = np.ceil(scaled) if round_up else np.floor(scaled)
        is_on_grid = np.abs(scaled - nearest) < GRID_TOLERANCE
        return np.where(is_on_grid, nearest, rounded).astype(np.int64), is_missing

    def pack(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class RemainderColumn:
    """A column of a rounded or near sum, as the units of its last decimal that the sum leaves.

    Rounding leaves a few small integers, and a near sum 0 in most rows. Where another column of the
    sum is missing, it counts as 0.
    """

    name: str
    relation: Relation
    decimals: int

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for name in self.relation.columns if name != self.name)

    def coded_type(self, _: pa.DataType) -> pa.DataType:
        return pa.int64()

    def encode(self, rows: Rows, _: pa.DataType) -> pa.Array:
        values = array(rows, self.name)
        numbers, is_missing = NumberGrid(values.type, self.decimals).to_grid(values)
        return pa.array(numbers - self._computed(rows), pa.int64(), mask=is_missing)

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        remainders, is_missing = NumberGrid(pa.int64(), 0).to_grid(array(coded, self.name))
        return NumberGrid(arrow, self.decimals).from_grid(
            self._computed(coded) + remainders, is_missing
        )

    def _computed(self, rows: Rows) -> NDArray[np.int64]:
        """Return the (N,) numbers that the other columns determine, in units of the column."""
        computed = np.nan_to_num(self.relation.solve(rows, self.name))
        return np.rint(computed * 10.0**self.decimals).astype(np.int64)

    def pack(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "remainder_of": self.relation.pack(),
            "decimals": self.decimals,
        }


CodedColumn: TypeAlias = (
    DerivedColumn
    | RemainderColumn
    | BoundedColumn
    | CalendarColumn
    | SpreadColumn
    | PartColumn
    | DateGapColumn
    | MarkedColumn
    | NearColumn
    | CloseColumn
)


def unpack_column(packed: Mapping[str, Any]) -> CodedColumn:
    if "close_to" in packed:
        return CloseColumn.unpack(packed)
    if "spread_over" in packed:
        return SpreadColumn.unpack(packed)
    if "part_of" in packed:
        return PartColumn.unpack(packed)
    if "gap_of" in packed:
        return DateGapColumn.unpack(packed)
    if "weeks_of" in packed or "learned_parts" in packed:
        return CalendarColumn.unpack(packed)
    if "marked_by" in packed:
        return MarkedColumn.unpack(packed)
    if "near" in packed:
        return NearColumn.unpack(packed)
    if "remainder_of" in packed:
        relation = Relation.unpack(packed["remainder_of"])
        return RemainderColumn(packed["name"], relation, packed["decimals"])
    if "relation" in packed:
        return DerivedColumn(**{**packed, "relation": Relation.unpack(packed["relation"])})
    return BoundedColumn(
        **{**packed, "lower": tuple(packed["lower"]), "upper": tuple(packed["upper"])}
    )


def _usual(numbers: NDArray[Any], decimals: int) -> float:
    """Return the mean of the middle half of (N,) numbers on a grid, as a multiple of their unit.

    So times of full minutes stay ones, a mark for missing values such as -999999999 has no effect,
    and the value is not that of a single row.
    """
    quarter = len(numbers) // 4
    middle = np.sort(numbers)[quarter : len(numbers) - quarter]
    if not len(middle):
        return 0.0
    unit = max(float(np.gcd.reduce(middle)), 1.0) if decimals >= 0 else 0.0
    mean = float(middle.mean())
    return round(mean / unit) * unit if unit else mean
