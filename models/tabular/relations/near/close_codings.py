"""Search for the ranges in which ratios of a number are more precise than the number itself."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.relations.held_out_bits import common_values, held_out_bits
from models.tabular.relations.near.close_columns import CloseColumn
from models.tabular.relations.near.codings import ComparedNumber, nonzero

MIN_CLOSE_SHARE = 0.1  # of the rows have a ratio that is learned
MIN_CLOSE_BITS = 0.2  # per value, that all ratios with a gain save together
MIN_CLOSE_LIFT = 1.5  # of the rows with ratios in a range, relative to bases of other rows
MIN_PARTLY_CLOSE_BITS = 0.4  # per value, that a coding saves if round numbers have no ratio
CLOSE_WIDTHS = (0.02, 0.1, 0.3)  # differences of a ratio from 1 that are tried
MIN_SEARCHED_ROWS = 500  # held-out ones, in which other ranges are searched
MAX_RANGES = 3  # of ratios
MAX_RATIO_SPAN = 6.0  # the end of a range, relative to its start
RATIO_BINS, MIN_RATIOS_PER_BIN = 32, 20  # held-out ones, of which the ranges of ratios consist
Range = tuple[float, float]


def close_coding(
    number: ComparedNumber,
    base: ComparedNumber,
    plain_bits: Floats,
    is_fitted: NDArray[np.bool_],
    unit: Floats,
) -> tuple[CloseColumn, float] | None:
    """Return the coding of a column by ratios that are more precise than the numbers.

    `plain_bits` (N,) are those of the held-out numbers. Also return how many of them the coding
    saves per value. None if there are not enough such rows.
    """
    if not number.is_partly_codable:
        return None
    column = _column(number, base)
    bases = base.in_units(number)
    ratios = column.all_ratios(number.values, bases)
    by_chance = column.all_ratios(number.values, np.roll(bases, len(bases) // 2))
    candidates: list[tuple[Range, ...]] = [((1 - width, 1 + width),) for width in CLOSE_WIDTHS]
    if (~is_fitted).sum() >= MIN_SEARCHED_ROWS:
        ratio_bits = held_out_bits(ratios, is_fitted, unit / np.abs(nonzero(bases)))
        saved = plain_bits - ratio_bits  # without those that say which rows have a ratio
        candidates += _saving_ranges(ratios[np.isfinite(saved)], saved[np.isfinite(saved)])
    gains = {}
    for ranges in candidates:
        share = _share(ratios, ranges)
        if share > max(MIN_CLOSE_SHARE, MIN_CLOSE_LIFT * _share(by_chance, ranges)):
            close = replace(column, ranges=tuple(sorted(ranges)))
            bits = close_bits(close, number, base, is_fitted, unit)
            gain = float(np.nanmean(plain_bits - bits))
            if number.round_numbers is None or gain > MIN_PARTLY_CLOSE_BITS:
                gains[close] = gain
    return max(gains.items(), key=itemgetter(1), default=None)


def proportional_coding(
    number: ComparedNumber,
    base: ComparedNumber,
    plain_bits: Floats,
    is_fitted: NDArray[np.bool_],
    unit: Floats,
) -> tuple[CloseColumn, float] | None:
    """Return the coding of a column by all positive ratios, and how many bits it saves per value.

    `plain_bits` (N,) are those of the held-out numbers. Frequent numbers have ratios, too: small
    counts are frequent and yet in proportion to the base. None if too few rows have a ratio.
    """
    if number.round_numbers is not None or not number.is_partly_codable:
        return None
    column = replace(_column(number, base), common=())
    ratios = column.ratios(number.values, base.in_units(number))
    if np.isfinite(ratios).mean() <= MIN_CLOSE_SHARE:
        return None
    bits = close_bits(column, number, base, is_fitted, unit)
    return column, float(np.nanmean(plain_bits - bits))


def _column(number: ComparedNumber, base: ComparedNumber) -> CloseColumn:
    return CloseColumn(
        name=number.name,
        base=base.name,
        ranges=(),
        decimals=number.decimals,
        low=float(np.nanmin(number.values)),
        high=float(np.nanmax(number.values)),
        common=tuple(common_values(number.values)),
        round_numbers=number.round_numbers,
        usual=number.usual,
    )


def _saving_ranges(ratios: Floats, saved: Floats) -> list[tuple[Range, ...]]:
    """Return the one to three ranges of (N,) ratios that save most bits, of `saved` (N,)."""
    bins = min(RATIO_BINS, len(ratios) // MIN_RATIOS_PER_BIN)
    edges = np.unique(np.quantile(ratios, np.linspace(0, 1, bins + 1))) if bins else ratios[:0]
    if len(edges) < 2:
        return []
    index = np.clip(np.searchsorted(edges, ratios, side="right") - 1, 0, len(edges) - 2)
    total = np.r_[0.0, np.cumsum(np.bincount(index, saved, minlength=len(edges) - 1))]
    sums = {
        (first, last): float(total[last] - total[first])
        for first, last in combinations(range(len(edges)), 2)
        if edges[first] > 0 and edges[last] <= MAX_RATIO_SPAN * edges[first]
    }
    if sum(max(bits, 0.0) for bits in np.diff(total)) < MIN_CLOSE_BITS * len(saved):
        return []
    ranges: list[Range] = []
    while sums and len(ranges) < MAX_RANGES:
        first, last = max(sums, key=sums.__getitem__)
        if sums[first, last] <= 0:
            break
        ranges.append((float(edges[first]), float(edges[last])))
        sums = {(a, b): bits for (a, b), bits in sums.items() if b < first or a > last}
    return [tuple(ranges[: count + 1]) for count in range(len(ranges))]


def _share(ratios: Floats, ranges: Sequence[Range]) -> float:
    """Return the share of (N,) ratios that are in one of the ranges."""
    inside = [(ratios >= first) & (ratios <= last) for first, last in ranges]
    return float(np.logical_or.reduce(inside).mean())


def close_bits(
    close: CloseColumn,
    number: ComparedNumber,
    base: ComparedNumber,
    is_fitted: NDArray[np.bool_],
    unit: Floats,
) -> Floats:
    """Return the (N,) bits of held-out values of a number with a ratio; NaN elsewhere."""
    bases = base.in_units(number)
    ratios = close.ratios(number.values, bases)
    is_close, has_value = np.isfinite(ratios), np.isfinite(number.values)
    share = is_close[is_fitted & has_value].mean()
    ratio_bits = held_out_bits(ratios, is_fitted, unit / np.abs(nonzero(bases)))
    other_bits = held_out_bits(np.where(is_close, np.nan, number.values), is_fitted, unit)
    return np.where(
        is_close, ratio_bits - np.log2(share), other_bits - np.log2(max(1 - share, 1e-9))
    )
