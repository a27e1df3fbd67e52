"""Numbers that often have a certain ratio to another one, such as to last month's balance.

The ratio may be about 1, or that of a minimum payment. Cells of quantiles are too wide to show it.
So where numbers have such ratios, these are learned in a separate column, which comes before the
number. The number itself is learned, too, so that later columns see it; decoding replaces it by the
base times the ratio. Counts in proportion to others, such as hits to times at bat, have a ratio in
all rows in which they are positive. Along a chain of such numbers, ratios of one to the next do not
show how far it has moved from its first number, such as balances from the limit of an account. So
later columns also see the ratio to that one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import NumberGrid, UsualDecimals
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.near.round_numbers import RoundNumbers
from models.tabular.relations.rows import Rows, array, as_floats


@dataclass(frozen=True)
class CloseColumn:
    """A number that often has a ratio to that of the column `base` in one of some ranges.

    The coded rows have the ratio of both in the column `ratio_name`. It is missing if it is in none
    of the `ranges` (from, to), or without ranges, if it is not positive. It is missing, too, if the
    number is one of `common`: frequent values are learned as they are. So are `round` numbers,
    unless they equal the base. Decoded values stay between `low` and `high`. These and `common` are
    in units of the last of the column's `decimals`; -1 decimals: floats, most of which may have
    `usual` ones. A number to which others are close has a ratio to
    the `first` number of its chain, too, in the column `chain_ratio_name` after its own one. It
    follows from both.
    """

    name: str
    base: str
    ranges: tuple[tuple[float, float], ...]
    decimals: int
    low: float
    high: float
    common: tuple[float, ...]
    round_numbers: RoundNumbers | None = None
    usual: UsualDecimals | None = None
    first: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.base,)

    @property
    def relation_name(self) -> str:
        """Return a formula that identifies the relation in a table."""
        return f"{self.name} ~ {self.base}"

    @property
    def ratio_name(self) -> str:
        return self.relation_name

    @property
    def is_proportional(self) -> bool:
        """True if all positive ratios are learned, not only those in some ranges."""
        return not self.ranges

    @property
    def chain_ratio_name(self) -> str:
        return f"{self.name} : {self.first}"

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see: no values of rows."""
        return {"name": self.relation_name, "kind": "near_value", "columns": [self.base, self.name]}

    def coded_type(self, arrow: pa.DataType) -> pa.DataType:
        return arrow

    def encode(self, rows: Rows, arrow: pa.DataType) -> pa.Array:  # noqa: ARG002 - see CodedColumn
        """Return the values as they are; `encode_ratio` returns the other coded column."""
        return array(rows, self.name)

    def encode_ratio(self, rows: Rows) -> pa.Array:
        values = array(rows, self.name)
        numbers, is_missing = NumberGrid(values.type, self.decimals).to_grid(values)
        numbers = np.where(is_missing, np.nan, numbers)
        ratios = self.ratios(numbers, self._in_units(as_floats(array(rows, self.base))))
        return pa.array(ratios, pa.float64(), mask=np.isnan(ratios))

    def encode_chain_ratio(self, rows: Rows) -> pa.Array:
        numbers, bases = (as_floats(array(rows, name)) for name in (self.name, self.first))
        ratios = numbers / np.where(bases == 0, np.nan, bases)
        return pa.array(ratios, pa.float64(), mask=np.isnan(ratios))

    def ratios(self, numbers: Floats, base: Floats) -> Floats:
        """Return the (N,) ratios of numbers and bases in units, NaN where they are not learned."""
        ratios = self.all_ratios(numbers, base)
        is_close = (ratios > 0) & self.is_proportional
        for first, last in self.ranges:
            is_close |= (ratios >= first) & (ratios <= last)
        return np.where(is_close, ratios, np.nan)

    def all_ratios(self, numbers: Floats, base: Floats) -> Floats:
        """Return the (N,) ratios in any range, NaN where the number itself is learned."""
        ratios = numbers / np.where(base == 0, np.nan, base)
        is_kept = np.isin(numbers, self.common)
        if self.round_numbers is not None:
            is_kept |= self.round_numbers.contains(numbers) & (ratios != 1)
        return np.where(is_kept, np.nan, ratios)

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        values = array(coded, self.name)
        grid = NumberGrid(arrow, self.decimals)
        numbers, is_missing = grid.to_grid(values)
        ratios = as_floats(array(coded, self.ratio_name))
        products = ratios * self._in_units(as_floats(array(coded, self.base)))
        is_close = np.isfinite(products)
        products = products if self.usual is None else self.usual.apply(products)
        products = np.clip(np.where(is_close, products, self.low), self.low, self.high)
        if self.decimals >= 0:
            products = np.rint(products).astype(np.int64)
        return grid.from_grid(np.where(is_close, products, numbers), is_missing & ~is_close)

    def _in_units(self, base: Floats) -> Floats:
        return base * 10.0 ** max(self.decimals, 0)

    def pack(self) -> dict[str, Any]:
        usual = {"usual": self.usual.to_json()} if self.usual is not None else {}
        rounding = (
            {"round_numbers": asdict(self.round_numbers)} if self.round_numbers is not None else {}
        )
        first = {"first": self.first} if self.first else {}
        return {
            "close_to": self.base,
            "name": self.name,
            "ranges": [list(ends) for ends in self.ranges],
            "decimals": self.decimals,
            "low": self.low,
            "high": self.high,
            "common": list(self.common),
            **rounding,
            **usual,
            **first,
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        values = {name: value for name, value in packed.items() if name != "close_to"}
        usual = UsualDecimals.from_json(packed["usual"]) if "usual" in packed else None
        rounding = (
            RoundNumbers.unpack(packed["round_numbers"]) if "round_numbers" in packed else None
        )
        parts = {"base": packed["close_to"], "common": tuple(packed["common"]), "usual": usual}
        ranges = tuple((first, last) for first, last in packed["ranges"])
        return cls(**{**values, **parts, "ranges": ranges, "round_numbers": rounding})


def with_chains(
    columns: Sequence[NearColumn | CloseColumn], names: Collection[str]
) -> list[NearColumn | CloseColumn]:
    """Return copies in which numbers to which others are close have a ratio to their first one.

    `names` are those of the table, which has no room for a ratio of the same name. A proportional
    number that is close to the first one needs none: its own ratio is the same.
    """
    close = {column.name: column for column in columns if isinstance(column, CloseColumn)}
    bases = {column.base for column in close.values()}
    copies: list[NearColumn | CloseColumn] = []
    for column in columns:
        chained = column
        if isinstance(column, CloseColumn) and column.name in bases:
            first = column.base
            while first in close:
                first = close[first].base
            with_first = replace(column, first=first)
            is_known = column.is_proportional and first == column.base
            if not is_known and with_first.chain_ratio_name not in names:
                chained = with_first
        copies.append(chained)
    return copies
