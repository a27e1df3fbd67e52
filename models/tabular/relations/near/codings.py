"""Codings of a number relative to others, and the bits that each takes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import NumberGrid, UsualDecimals
from models.tabular.numbers.quantiles import Quantiles
from models.tabular.numbers.scale import Scale, numeric_values
from models.tabular.relations.held_out_bits import common_values, held_out_bits, rank_correlation
from models.tabular.relations.near.columns import NearColumn, Operation, combine
from models.tabular.relations.near.round_numbers import RoundNumbers
from models.tabular.relations.rows import as_floats

MIN_ROWS = 100
MIN_DISTINCT = 20  # numbers of fewer values have tokens of their own
MIN_CORRELATION = 0.6  # of ranks; the others are not tried
MAX_FACTORS = 12  # columns before a number, of which products and quotients are screened
SCREENED_ROWS, MIN_SCREENED_ROWS = 1_000, 100
MAX_SCREENED_SPREAD = 0.5  # of ratios to a product, relative to those to one of its factors
MIN_POSITIVE_SHARE = 0.99  # of the bases of a ratio; a few may be errors
MIN_COPY_SHARE = 0.02
MIN_EXACT_SHARE = 0.3  # of the numbers are the rounded product or quotient
FLOAT_UNIT = 1e-12  # between floats that are not rounded: any small number gives the same gain


@dataclass(frozen=True, eq=False)
class ComparedNumber:
    """A column of numbers. `values` (N,) are in units of the last decimal; NaN where missing."""

    name: str
    in_table: Floats
    values: Floats
    decimals: int
    is_fine: bool  # has enough values
    step: int  # of which all values are multiples, above the smallest one
    usual: UsualDecimals | None
    is_codable: bool  # has no endings, which a ratio would lose
    round_numbers: RoundNumbers | None  # that ratios would lose, too
    is_partly_codable: bool  # has no endings without the round numbers

    @classmethod
    def fit(cls, name: str, column: pa.Array) -> Self:
        decimals = NumberGrid.fit(column).decimals
        floats = as_floats(column)
        floats = np.where(np.isfinite(floats), floats, np.nan)
        values = np.rint(floats * 10.0**decimals) if decimals >= 0 else floats
        present, _ = numeric_values(name, column)
        scale = Scale.fit(column.type, present)
        distinct, counts = np.unique(scale.to_scaled(present), return_counts=True)
        if scale.unit:
            # Of values that mostly repeat, such as 2359 for a time, the distinct ones show endings.
            single = counts == 1 if Quantiles.interpolates(present) else counts > 0
            scale = scale.with_endings(distinct[single], distinct[~single])
        step = max(scale.unit, 1)
        rounds, is_partly_codable = None, step == 1
        if decimals >= 0 and step == 1:
            rare = values[np.isfinite(values) & ~np.isin(values, common_values(values))]
            rounds = RoundNumbers.fit(rare.astype(np.int64))
            if rounds is not None:
                others = rare[~rounds.contains(rare)].astype(np.int64)
                is_partly_codable = RoundNumbers.are_even(others)
        return cls(
            name=name,
            in_table=floats,
            values=values,
            decimals=decimals,
            is_fine=len(present) >= MIN_ROWS and len(distinct) > MIN_DISTINCT,
            step=step,
            usual=scale.usual,
            is_codable=scale.endings is None,
            round_numbers=rounds,
            is_partly_codable=is_partly_codable,
        )

    def unit_of(self, num_rows: int) -> Floats:
        """Return the (N,) distances of the values to the next possible ones."""
        return np.full(num_rows, self.step if self.decimals >= 0 else FLOAT_UNIT)

    def in_units(self, other: "ComparedNumber") -> Floats:
        return self.in_table * 10.0 ** max(other.decimals, 0)

    def combined(self, factor: "ComparedNumber", operation: Operation) -> Self:
        """Return the product or quotient with another column, as a base of ratios."""
        return replace(self, in_table=combine(self.in_table, factor.in_table, operation))


def codings(number: ComparedNumber, base: ComparedNumber) -> Iterator[NearColumn]:
    """Yield the codings of a column relative to another one."""
    bases = base.in_units(number)
    both = ~np.isnan(number.values) & ~np.isnan(bases)
    if both.sum() < MIN_ROWS:
        return
    low, high = float(np.nanmin(number.values)), float(np.nanmax(number.values))
    common = common_values(number.values)
    median = float(np.nanmedian(bases))
    if number.decimals >= 0 and not 0 < abs(median) < 1:
        median = float(np.rint(median))
    copies = (number.values == bases) & ~np.isin(number.values, common)
    column = NearColumn(
        name=number.name,
        base=base.name,
        kind="ratio",
        decimals=number.decimals,
        default=median,
        low=low,
        high=high,
        common=tuple(common),
        first_mark=-1.0,
        step=number.step,
        usual=number.usual,
    )
    if copies.mean() > MIN_COPY_SHARE:
        yield replace(column, kind="copy", first_mark=low - max(high - low, 1.0), step=1)
    is_positive = low >= 0 and (bases[both] > 0).mean() >= MIN_POSITIVE_SHARE
    if not (number.is_codable and is_positive):
        return
    if rank_correlation(number.values[both], bases[both]) > MIN_CORRELATION:
        yield column


def product_codings(
    number: ComparedNumber, before: Sequence[ComparedNumber]
) -> Iterator[tuple[NearColumn, ComparedNumber]]:
    """Yield the codings of a column relative to products and quotients of two others, and these."""
    factors = [each for each in before if _is_factor(each.in_table)][:MAX_FACTORS]
    logs = {each: np.log(_positive(each.in_table[:SCREENED_ROWS])) for each in (number, *factors)}
    both: tuple[Operation, ...] = ("*", "/")
    for (i, a), (k, b) in permutations(enumerate(factors), 2):
        for operation in both if i < k else both[1:]:
            other = logs[b] if operation == "*" else -logs[b]
            if not _is_near_product(logs[number], logs[a], other):
                continue
            base = a.combined(b, operation)
            # Multiples of a number share endings, which a ratio of 1 keeps.
            is_exact = np.abs(number.values - base.in_units(number)) <= number.step / 2
            is_codable = number.is_codable or is_exact.mean() >= MIN_EXACT_SHARE
            for column in codings(replace(number, is_codable=is_codable), base):
                if column.kind == "ratio":
                    yield replace(column, factor=b.name, operation=operation), base


def _is_factor(values: Floats) -> bool:
    """Return True if a column is positive in nearly all rows, as the base of a ratio must be."""
    present = values[~np.isnan(values)]
    has_rows = len(present) >= MIN_ROWS and len(np.unique(present)) > 1
    return has_rows and present.min() >= 0 and (present > 0).mean() >= MIN_POSITIVE_SHARE


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def is_near_product(values: Floats, a: Floats, b: Floats) -> bool:
    """Return True if ratios of (N,) values to the product `a * b` vary less than to its factors."""
    values, a, b = (np.log(_positive(each[:SCREENED_ROWS])) for each in (values, a, b))
    return _is_near_product(values, a, b)


def _is_near_product(logs: Floats, a: Floats, b: Floats) -> bool:
    spreads = _spread(logs - a), _spread(logs - b)
    return _spread(logs - a - b) < MAX_SCREENED_SPREAD * min(spreads)


def _spread(logs: Floats) -> float:
    """Return the standard deviation of the present values, infinite if they are few."""
    present = logs[np.isfinite(logs)]
    return float(present.std()) if len(present) >= MIN_SCREENED_ROWS else math.inf


def near_bits(
    column: NearColumn,
    number: ComparedNumber,
    base: ComparedNumber,
    is_fitted: NDArray[np.bool_],
    unit: Floats,
) -> Floats:
    """Return the (N,) bits of held-out values of a number that is coded relative to a base."""
    if column.kind == "ratio":
        unit = unit / nonzero(base.in_units(number))
    return held_out_bits(column.relative(number.values, base.in_table), is_fitted, unit)


def nonzero(bases: Floats) -> Floats:
    """Return the (N,) bases with NaN for 0, which no number has a ratio to."""
    return np.where(bases == 0, np.nan, bases)
