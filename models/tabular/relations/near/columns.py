"""Numbers that are coded relative to others of the row: by a ratio, or as copies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import NumberGrid, UsualDecimals
from models.tabular.relations.rows import Rows, array, as_floats

NearKind = Literal["ratio", "copy"]
Operation = Literal["*", "/"]
EQUALITY_TOLERANCE = 1e-6  # in units of the last decimal


@dataclass(frozen=True)
class NearColumn:
    """A column that is coded relative to the column `base`, or to its product or quotient.

    `ratio` divides by the base, and `copy` has a mark where both are equal. Where the base is
    missing (or, for a ratio, not positive), it is `default`. With `factor`, the base is multiplied
    or divided by that column, and a number that equals the rounded result has the ratio 1. Values
    in `common` stay as they are: a copy is none of them, and a ratio codes them as marks. Marks
    count down from `first_mark`, below all other coded values. Decoded values stay between `low`
    and `high`, and are multiples of `step` above `low`. Numbers are in units of the last of the
    column's `decimals`; -1 decimals: floats, most of which may have `usual` ones.
    """

    name: str
    base: str
    kind: NearKind
    decimals: int
    default: float
    low: float
    high: float
    common: tuple[float, ...]
    first_mark: float
    factor: str = ""
    operation: Operation = "*"
    step: int = 1
    usual: UsualDecimals | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.base, self.factor) if self.factor else (self.base,)

    @property
    def relation_name(self) -> str:
        """Return a formula that identifies the relation in a table."""
        if self.factor:
            return f"{self.base} {self.operation} {self.factor} ~ {self.name}"
        sign = {"ratio": "/", "copy": "="}[self.kind]
        return f"{self.name} {sign} {self.base}"

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see: no values of rows."""
        kind = f"near_{self.kind}"
        if self.factor:
            kind = "near_product" if self.operation == "*" else "near_quotient"
        return {"name": self.relation_name, "kind": kind, "columns": [*self.sources, self.name]}

    def bases(self, rows: Rows) -> Floats:
        """Return the (N,) numbers to which those of the column are relative; NaN where missing."""
        bases = as_floats(array(rows, self.base))
        if not self.factor:
            return bases
        return combine(bases, as_floats(array(rows, self.factor)), self.operation)

    def coded_type(self, _: pa.DataType) -> pa.DataType:
        return pa.float64() if self.decimals < 0 or self.kind == "ratio" else pa.int64()

    def encode(self, rows: Rows, arrow: pa.DataType) -> pa.Array:
        values = array(rows, self.name)
        numbers, is_missing = NumberGrid(values.type, self.decimals).to_grid(values)
        coded = self.relative(numbers, self.bases(rows))
        return pa.array(coded, self.coded_type(arrow), mask=is_missing)

    def relative(self, numbers: NDArray[Any], base: Floats) -> NDArray[Any]:
        """Return coded (N,) numbers, given the values of the base, NaN where missing."""
        base, has_base = self._in_units(base)
        mark = np.asarray(self.first_mark).astype(numbers.dtype)
        if self.kind == "copy":
            is_copy = (numbers == base) & has_base & ~np.isin(numbers, self.common)
            return np.where(is_copy, mark, numbers)
        coded = numbers / base
        if self.factor and self.decimals >= 0:
            coded = np.where((self._rounded(base) == numbers) & (numbers > 0), 1.0, coded)
        common = np.array(self.common)
        index = np.searchsorted(common, numbers)
        is_common = np.append(common, np.nan)[index] == numbers
        return np.where(is_common, mark - index, coded)

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        column = array(coded, self.name)
        is_missing = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        values = column.fill_null(0).to_numpy(zero_copy_only=False)
        base, _ = self._in_units(self.bases(coded))
        is_mark = ~is_missing & (values <= self.first_mark)
        if self.kind == "copy":
            numbers = np.where(is_mark, base, values)
        else:
            numbers = values * base
            numbers = numbers if self.usual is None else self.usual.apply(numbers)
            index = np.where(is_mark, self.first_mark - values, 0).astype(np.int64)
            last = max(len(self.common) - 1, 0)
            common = np.array(self.common or (0.0,))
            numbers = np.where(is_mark, common[np.minimum(index, last)], numbers)
        numbers = np.clip(np.where(is_missing, self.low, numbers), self.low, self.high)
        if self.decimals >= 0:
            numbers = self._rounded(numbers)
        return NumberGrid(arrow, self.decimals).from_grid(numbers, is_missing)

    def _rounded(self, numbers: NDArray[Any]) -> NDArray[np.int64]:
        if self.step == 1:
            return np.rint(numbers).astype(np.int64)
        steps = np.rint((numbers - self.low) / self.step)
        return (steps * self.step + self.low).astype(np.int64)

    def _in_units(self, base: Floats) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the (N,) bases in units of this column, and the mask of rows that have one."""
        base = base * 10.0 ** max(self.decimals, 0)
        has_base = base > 0 if self.kind == "ratio" else ~np.isnan(base)
        base = np.where(has_base, base, self.default)
        if self.decimals < 0 or self.kind == "ratio":
            return base, has_base
        rounded = np.rint(base)
        # A base with more decimals has no equal.
        return rounded.astype(np.int64), has_base & (np.abs(base - rounded) < EQUALITY_TOLERANCE)

    def pack(self) -> dict[str, Any]:
        factor = {"factor": self.factor, "operation": self.operation} if self.factor else {}
        step = {"step": self.step} if self.step != 1 else {}
        usual = {"usual": self.usual.to_json()} if self.usual is not None else {}
        return {
            "near": self.kind,
            "name": self.name,
            "base": self.base,
            "decimals": self.decimals,
            "default": self.default,
            "low": self.low,
            "high": self.high,
            "common": list(self.common),
            "first_mark": self.first_mark,
            **factor,
            **step,
            **usual,
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "NearColumn":
        values = {name: value for name, value in packed.items() if name != "near"}
        usual = UsualDecimals.from_json(packed["usual"]) if "usual" in packed else None
        parts = {"kind": packed["near"], "common": tuple(packed["common"]), "usual": usual}
        return cls(**{**values, **parts})


def combine(bases: Floats, factors: Floats, operation: Operation) -> Floats:
    """Return (N,) products or quotients; NaN where the divisor is not positive."""
    return bases * factors if operation == "*" else bases / np.where(factors > 0, factors, np.nan)
