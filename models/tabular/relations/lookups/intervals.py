"""Search for categories of intervals of a number, such as grades of scores or groups of ages."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats, as_text, from_text
from models.tabular.numbers.scale import TICKS_PER_SECOND
from models.tabular.relations.lookups.discrete import MAX_COMPARED_COLUMNS, codes_of
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats
from models.tabular.relations.screened_numbers import MIN_EVIDENCE_BITS, MIN_ROWS, ScreenedNumber

MAX_INTERVALS = 64
MAX_INTERVAL_SHARE = 0.1  # intervals, relative to the distinct numbers
POWERS_OF_TEN = tuple(10.0**k for k in range(15, -10, -1))
UNITS_OF_TIME = (86_400, 3_600, 60, 1)  # seconds


def find_intervals(
    sample: pa.Table,
    table: pa.Table,
    types: Mapping[str, str],
    numbers: Sequence[ScreenedNumber],
    related: Collection[frozenset[str]],
) -> Iterator[Relation]:
    """Yield the categories that the interval of a number determines.

    `numbers` are those of `sample`, whose rows rule out most pairs of columns. A category may have
    several intervals, such as seasons of the day of the year. Pairs in `related` are left out.
    """
    sources = [number for number in numbers if not number.is_flag][:MAX_COMPARED_COLUMNS]
    totals = [name for name, type in types.items() if type == "category"][:MAX_COMPARED_COLUMNS]
    categories = {name: found for name in totals if (found := _Categories.of(sample, name))}
    for source in sources:
        order = _order(source.values)
        for total, screened in categories.items():
            if frozenset((source.name, total)) in related:
                continue
            if _fit(source.values[order], screened.codes[order]) is None:
                continue
            if relation := _relation(table, source.name, total):
                yield relation


@dataclass(frozen=True)
class _Categories:
    """The categories of a column: codes (N,) of its rows from 1, 0 where missing, and texts."""

    codes: NDArray[np.int64]
    texts: pa.Array

    @classmethod
    def of(cls, table: pa.Table, name: str) -> Self | None:
        """Return None if there are too many categories, or one, or texts do not identify them."""
        values = array(table, name)
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        distinct = values.dictionary
        if not 2 <= len(distinct) <= MAX_INTERVALS:
            return None
        is_exact = from_text(as_text(distinct), distinct.type).equals(distinct)
        return cls(codes_of(values)[0], as_text(distinct)) if is_exact else None


def _relation(table: pa.Table, source: str, total: str) -> Relation | None:
    x, categories = as_floats(array(table, source)), _Categories.of(table, total)
    order = _order(x)
    if categories is None or (found := _fit(x[order], categories.codes[order])) is None:
        return None
    ends, starts, firsts = found
    keys = _roundest(ends, starts, _units(table.schema.field(source).type))
    texts = categories.texts.take(pa.array(firsts - 1)).to_pylist()
    return Relation("interval", (source, total), keys=tuple(map(float, keys)), values=tuple(texts))


def _order(x: Floats) -> NDArray[np.int64]:
    """Return the indices of the finite numbers, ascending."""
    return np.argsort(x, kind="stable")[: np.count_nonzero(np.isfinite(x))]


def _fit(x: Floats, codes: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.int64]] | None:
    """Return the intervals of codes; None if chance may explain them.

    These are the (K,) last numbers of all but the last interval, the (K,) first ones of those that
    follow, and the (K + 1,) codes. `x` (N,) ascends, and `codes` are 0 where missing.
    """
    x, codes = x[codes > 0], codes[codes > 0]
    changes = np.flatnonzero(np.diff(codes))
    if len(x) < MIN_ROWS or not 0 < len(changes) < MAX_INTERVALS:
        return None
    # Several rows of one thing, such as a person, have the same number and category.
    if len(changes) > MAX_INTERVAL_SHARE * (1 + np.count_nonzero(np.diff(x))):
        return None
    if (x[changes] == x[changes + 1]).any():
        return None
    shares = np.bincount(codes)[1:] / len(codes)
    evidence = -len(codes) * math.log2(float((shares**2).sum()))
    # The positions of the intervals and their categories are fitted.
    fitted = len(changes) * math.log2(len(x)) + (len(changes) + 1) * math.log2(len(shares))
    if evidence - fitted < MIN_EVIDENCE_BITS:
        return None
    return x[changes], x[changes + 1], codes[np.concatenate([changes, [len(codes) - 1]])]


def _units(arrow: pa.DataType) -> Sequence[float]:
    """Return the units of round values of a type, the largest first."""
    if not pa.types.is_temporal(arrow):
        return POWERS_OF_TEN
    if pa.types.is_date32(arrow):
        return (1.0,)
    ticks = TICKS_PER_SECOND[getattr(arrow, "unit", "ms")]
    return tuple(float(seconds * ticks) for seconds in UNITS_OF_TIME)


def _roundest(low: Floats, high: Floats, units: Sequence[float]) -> Floats:
    """Return the roundest (K,) numbers above `low` that are at most `high`.

    People choose round limits, and these are no values of single rows.
    """
    result, is_open = high.copy(), np.ones(len(high), bool)
    for unit in units:
        rounded = np.floor(high / unit) * unit
        is_found = is_open & (rounded > low) & (rounded <= high)
        result = np.where(is_found, rounded, result)
        is_open &= ~is_found
    return result
