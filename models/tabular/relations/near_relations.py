"""Near relations: numbers that are simpler given another number of the row.

A number may nearly follow from another one (rooms and bedrooms of a block) or from a product of two
(charges of a month and months), or often be a copy (a payment of the whole balance) or close to
another one (balances of two months). Such a column is coded as its ratio to the other one or to the
product, with a mark where both are equal, or with the ratio where both are close
(`close_columns.py`). The coding that saves most bits on held-out rows is used, if it saves enough
of them.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import NumberGrid, UsualDecimals, is_numeric
from models.tabular.numbers.scale import Scale, numeric_values
from models.tabular.relations.close_columns import CloseColumn
from models.tabular.relations.coded_columns import BoundedColumn, CodedColumn
from models.tabular.relations.near_columns import NearColumn, Operation, combine
from models.tabular.relations.relation import array, as_floats

MIN_ROWS = 500
MAX_FITTED_ROWS, MAX_HELD_OUT_ROWS = 6_000, 3_000
MAX_COLUMNS = 40  # that are compared with each other
MIN_DISTINCT = 20  # numbers of fewer values have tokens of their own
MIN_GAIN_BITS = {"ratio": 1.0, "copy": 0.2}  # per held-out value
MIN_RATIOS_GAIN_BITS = 1.0  # per row, of ratios instead of differences from bounds
MIN_CLOSE_GAIN_BITS = 0.2  # more than by other codings: it adds a column
CLOSE_WIDTHS = (0.02, 0.1, 0.3)  # differences of a ratio from 1 that are tried
MIN_CORRELATION = 0.6  # of ranks; the others are not tried
MIN_PRODUCT_GAIN_BITS = 0.5  # more than by other codings
MAX_FACTORS = 12  # columns before a number, of which products and quotients are screened
SCREENED_ROWS, MIN_SCREENED_ROWS = 1_000, 100
MAX_SCREENED_SPREAD = 0.5  # of ratios to a product, relative to those to one of its factors
COMMON_SHARE = 0.015  # of the rows; more frequent values have tokens of their own
MIN_POSITIVE_SHARE = 0.99  # of the bases of a ratio; a few may be errors
MIN_COPY_SHARE = 0.02
MIN_EXACT_SHARE = 0.3  # of the numbers are the rounded product or quotient
MIN_CLOSE_SHARE, MIN_CLOSE_LIFT = 0.1, 1.5  # the lift: relative to bases of other rows
BINS, MIN_VALUES_PER_BIN = 64, 20
SAME_VALUE_WEIGHTS = (0.0, 0.5, 0.9)  # of equal values, next to a histogram; the best one counts
FLOAT_UNIT = 1e-12  # between floats that are not rounded: any small number gives the same gain


def find_near_columns(
    table: pa.Table,
    types: Mapping[str, str],
    excluded: Collection[str],
    bounded: Collection[str] = (),
) -> list[NearColumn | CloseColumn]:
    """Return the columns to code; each has one base, which comes before it in the table.

    `types` are those of the columns by name. The columns in `excluded` are neither coded nor bases.
    Those in `bounded` may be coded as differences, too, so they are only coded as ratios.
    """
    names = [
        name
        for name, type in types.items()
        if type in ("integer", "number")
        and name not in excluded
        and is_numeric(table.schema.field(name).type)
    ]
    rows, is_fitted = sampled_rows(len(table))
    if len(rows) < MIN_ROWS:
        return []
    sample = table.select(list(names)).take(pa.array(rows))
    numbers = [_Number.fit(name, array(sample, name)) for name in names]
    numbers = [number for number in numbers if number.is_fine][:MAX_COLUMNS]
    found = []
    for i, number in enumerate(numbers):
        is_bounded = number.name in bounded
        coding = _best_coding(number, numbers[:i], is_fitted, table.schema.names, is_bounded)
        if coding is not None:
            found.append(_with_range(coding, array(table, number.name)))
    return found


def saved_bits(table: pa.Table, columns: Sequence[CodedColumn]) -> float:
    """Return how many bits the ratios and differences among `columns` save in a held-out row."""
    rows, is_fitted = sampled_rows(len(table))
    saved = 0.0
    for column in columns:
        if not isinstance(column, BoundedColumn | NearColumn | CloseColumn):
            continue
        sample = table.select([column.name, *column.sources]).take(pa.array(rows))
        number = _Number.fit(column.name, array(sample, column.name))
        one = number.unit_of(len(rows))
        if isinstance(column, BoundedColumn):
            coded = as_floats(column.encode(sample, sample.schema.field(column.name).type))
            bits = held_out_bits(coded, is_fitted, one)
        else:
            base = _Number.fit(column.base, array(sample, column.base))
            if isinstance(column, CloseColumn):
                bits = _close_bits(column, number, base, is_fitted, one)
            else:
                if column.factor:
                    factor = _Number.fit(column.factor, array(sample, column.factor))
                    base = base.combined(factor, column.operation)
                bits = _near_bits(column, number, base, is_fitted, one)
        saved += float(np.nanmean(held_out_bits(number.values, is_fitted, one) - bits))
    return saved


def sampled_rows(num_rows: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the indices of the compared rows, and the mask of those to which models are fitted."""
    rows = np.random.default_rng(0).permutation(num_rows)[: MAX_FITTED_ROWS + MAX_HELD_OUT_ROWS]
    fitted = len(rows) * MAX_FITTED_ROWS // (MAX_FITTED_ROWS + MAX_HELD_OUT_ROWS)
    return rows, np.arange(len(rows)) < fitted


def _best_coding(
    number: "_Number",
    bases: Sequence["_Number"],
    is_fitted: NDArray[np.bool_],
    names: Sequence[str],
    only_ratio: bool,
) -> NearColumn | CloseColumn | None:
    """Return the coding of a column that saves most bits, or None if none saves enough of them.

    `names` are those of the table, which has no room for a ratio of the same name.
    """
    one = number.unit_of(len(is_fitted))
    plain_bits = held_out_bits(number.values, is_fitted, one)
    gains: dict[NearColumn | CloseColumn, float] = {}
    close_gains: dict[NearColumn | CloseColumn, float] = {}
    for base in bases:
        for column in _codings(number, base):
            if only_ratio and column.kind != "ratio":
                continue
            gain = np.nanmean(plain_bits - _near_bits(column, number, base, is_fitted, one))
            if gain > MIN_GAIN_BITS[column.kind]:
                gains[column] = float(gain)
        for close in () if only_ratio else _close_codings(number, base):
            if close.ratio_name not in names:
                bits = _close_bits(close, number, base, is_fitted, one)
                close_gains[close] = float(np.nanmean(plain_bits - bits))
    least = max(gains.values(), default=0.0) + MIN_CLOSE_GAIN_BITS
    gains |= {close: gain for close, gain in close_gains.items() if gain > least}
    least = max(gains.values(), default=MIN_GAIN_BITS["ratio"]) + MIN_PRODUCT_GAIN_BITS
    for column, product in _product_codings(number, bases):
        gain = np.nanmean(plain_bits - _near_bits(column, number, product, is_fitted, one))
        if gain > least:
            gains[column] = float(gain)
    return max(gains, key=gains.__getitem__) if gains else None


def _with_range(column: NearColumn | CloseColumn, values: pa.Array) -> NearColumn | CloseColumn:
    """Return a copy with the range of all values, of which the coding saw a sample."""
    numbers, is_missing = NumberGrid(values.type, column.decimals).to_grid(values)
    low, high = float(numbers[~is_missing].min()), float(numbers[~is_missing].max())
    if isinstance(column, CloseColumn):
        return replace(column, low=low, high=high)
    # The mark of copies is so far below that no other value equals it.
    mark = low - max(high - low, 1.0) if column.kind == "copy" else column.first_mark
    step = column.step
    if step > 1:
        step = int(np.gcd.reduce(numbers[~is_missing] - numbers[~is_missing].min()))
    return replace(column, low=low, high=high, first_mark=mark, step=step)


@dataclass(frozen=True, eq=False)
class _Number:
    """A column of numbers. `values` (N,) are in units of the last decimal; NaN where missing."""

    name: str
    in_table: Floats
    values: Floats
    decimals: int
    is_fine: bool  # has enough values
    step: int  # of which all values are multiples, above the smallest one
    usual: UsualDecimals | None
    is_codable: bool  # has no endings, which a ratio would lose

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
            scale = scale.with_endings(distinct[counts == 1], distinct[counts > 1])
        is_fine = len(present) >= MIN_ROWS and len(distinct) > MIN_DISTINCT
        step, is_codable = max(scale.unit, 1), scale.endings is None
        return cls(name, floats, values, decimals, is_fine, step, scale.usual, is_codable)

    def unit_of(self, num_rows: int) -> Floats:
        """Return the (N,) distances of the values to the next possible ones."""
        return np.full(num_rows, self.step if self.decimals >= 0 else FLOAT_UNIT)

    def in_units(self, other: "_Number") -> Floats:
        return self.in_table * 10.0 ** max(other.decimals, 0)

    def combined(self, factor: "_Number", operation: Operation) -> Self:
        """Return the product or quotient with another column, as a base of ratios."""
        return replace(self, in_table=combine(self.in_table, factor.in_table, operation))


def _codings(number: _Number, base: _Number) -> Iterator[NearColumn]:
    """Yield the codings of a column relative to another one."""
    bases = base.in_units(number)
    both = ~np.isnan(number.values) & ~np.isnan(bases)
    if both.sum() < MIN_ROWS:
        return
    low, high = float(np.nanmin(number.values)), float(np.nanmax(number.values))
    common = _common_values(number.values)
    median = float(np.nanmedian(bases))
    median = median if number.decimals < 0 else float(np.rint(median))
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


def _product_codings(
    number: _Number, bases: Sequence[_Number]
) -> Iterator[tuple[NearColumn, _Number]]:
    """Yield the codings of a column relative to products and quotients of two others, and these."""
    factors = [base for base in bases if np.nanmin(base.in_table) >= 0][:MAX_FACTORS]
    logs = {each: np.log(_positive(each.in_table[:SCREENED_ROWS])) for each in (number, *factors)}
    both: tuple[Operation, ...] = ("*", "/")
    for (i, a), (k, b) in permutations(enumerate(factors), 2):
        for operation in both if i < k else both[1:]:
            other = logs[b] if operation == "*" else -logs[b]
            spreads = _spread(logs[number] - logs[a]), _spread(logs[number] - other)
            if not _spread(logs[number] - logs[a] - other) < MAX_SCREENED_SPREAD * min(spreads):
                continue
            base = a.combined(b, operation)
            # Exact multiples have endings of their own, which the ratio 1 keeps.
            is_exact = np.abs(number.values - base.in_units(number)) <= number.step / 2
            is_codable = number.is_codable or is_exact.mean() >= MIN_EXACT_SHARE
            for column in _codings(replace(number, is_codable=is_codable), base):
                if column.kind == "ratio":
                    yield replace(column, factor=b.name, operation=operation), base


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def _spread(logs: Floats) -> float:
    """Return the standard deviation of the present values, infinite if they are few."""
    present = logs[np.isfinite(logs)]
    return float(present.std()) if len(present) >= MIN_SCREENED_ROWS else math.inf


def _close_codings(number: _Number, base: _Number) -> Iterator[CloseColumn]:
    """Yield the codings of a column by ratios where it is close to another one."""
    if not number.is_codable or number.step > 1:
        return
    common = tuple(_common_values(number.values))
    low, high = float(np.nanmin(number.values)), float(np.nanmax(number.values))
    bases = base.in_units(number)
    for width in CLOSE_WIDTHS:
        close = CloseColumn(
            number.name, base.name, width, number.decimals, low, high, common, number.usual
        )
        share, by_chance = (
            np.isfinite(close.ratios(number.values, other)).mean()
            for other in (bases, np.roll(bases, len(bases) // 2))
        )
        if share > max(MIN_CLOSE_SHARE, MIN_CLOSE_LIFT * by_chance):
            yield close


def _near_bits(
    column: NearColumn, number: _Number, base: _Number, is_fitted: NDArray[np.bool_], unit: Floats
) -> Floats:
    """Return the (N,) bits of held-out values of a number that is coded relative to a base."""
    if column.kind == "ratio":
        unit = unit / _nonzero(base.in_units(number))
    return held_out_bits(column.relative(number.values, base.in_table), is_fitted, unit)


def _close_bits(
    close: CloseColumn, number: _Number, base: _Number, is_fitted: NDArray[np.bool_], unit: Floats
) -> Floats:
    """Return the (N,) bits of held-out values of a number with a ratio; NaN elsewhere."""
    bases = base.in_units(number)
    ratios = close.ratios(number.values, bases)
    is_close, has_value = np.isfinite(ratios), np.isfinite(number.values)
    share = is_close[is_fitted & has_value].mean()
    ratio_bits = held_out_bits(ratios, is_fitted, unit / np.abs(_nonzero(bases)))
    other_bits = held_out_bits(np.where(is_close, np.nan, number.values), is_fitted, unit)
    return np.where(
        is_close, ratio_bits - np.log2(share), other_bits - np.log2(max(1 - share, 1e-9))
    )


def _nonzero(bases: Floats) -> Floats:
    return np.where(bases == 0, np.nan, bases)


def held_out_bits(values: Floats, is_fitted: NDArray[np.bool_], unit: Floats) -> Floats:
    """Return the (N,) bits of held-out values under a model of the others; NaN elsewhere.

    The model is a histogram, mixed with the fraction of rows that have exactly the same value where
    that saves bits: a coding must not lose values that several rows share, such as results of
    elections. Common values have separate probabilities. `unit` (N,) is the distance of a value to
    the next possible one; NaN where there is no value to compare.
    """
    is_usable = np.isfinite(values) & np.isfinite(unit)
    fitted, held = values[is_fitted & is_usable], values[~is_fitted & is_usable]
    if not len(fitted):
        return np.full(len(values), np.nan)
    common = _common_values(fitted)
    rest = np.sort(fitted[~np.isin(fitted, common)])
    bins = max(1, min(BINS, len(rest) // MIN_VALUES_PER_BIN))
    edges = np.unique(np.quantile(rest, np.linspace(0, 1, bins + 1))) if len(rest) else held[:0]
    if len(edges) < 2:
        edges = np.array([fitted.min(), fitted.max() + 1.0])
    counts = np.histogram(rest, edges)[0] + 0.5
    bin_index = np.clip(np.searchsorted(edges, held, side="right") - 1, 0, len(counts) - 1)
    share = np.minimum(unit[~is_fitted & is_usable] / np.diff(edges)[bin_index], 1.0)
    probability = share * counts[bin_index] / (len(fitted) + 0.5 * len(counts))
    distinct, repeats = np.unique(fitted, return_counts=True)
    index = np.minimum(np.searchsorted(distinct, held), len(distinct) - 1)
    same = np.where(distinct[index] == held, repeats[index] / len(fitted), 0.0)
    mixtures = [(1 - weight) * probability + weight * same for weight in SAME_VALUE_WEIGHTS]
    probability = max(mixtures, key=lambda mixture: np.log2(mixture).sum())
    for value in common:
        probability[held == value] = (fitted == value).mean()
    bits = np.full(len(values), np.nan)
    bits[~is_fitted & is_usable] = -np.log2(probability)
    return bits


def _common_values(values: Floats) -> Floats:
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return distinct[counts > max(COMMON_SHARE * len(values), 8)]


def rank_correlation(a: Floats, b: Floats) -> float:
    """Return the correlation of the ranks of (N,) numbers, where equal ones have one rank."""
    a, b = (np.unique(values, return_inverse=True)[1].astype(np.float64) for values in (a, b))
    return float(np.corrcoef(a, b)[0, 1])
