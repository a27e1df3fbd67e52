"""Search for numbers that are another one times a factor of a category.

Examples are amounts in two currencies, prices before and after inflation, and taxes by rate.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats, as_text
from models.tabular.relations.lookups.discrete import Codes, encode_discrete, partition_of
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats, rounding_tolerance
from models.tabular.relations.screened_numbers import (
    MAX_EQUATION_COLUMNS,
    MIN_EVIDENCE_BITS,
    MIN_ROWS,
    ScreenedNumber,
    evidence_bits,
    roundest_between,
)

MAX_KEYS = 500
MIN_ROWS_PER_KEY = 4  # on average
MIN_DISTINCT_SHARE = 0.8  # distinct values, relative to those of the other number, as rounded
MIN_FACTORS = 2  # different ones


def find_factors(
    sample: pa.Table,
    table: pa.Table,
    types: Mapping[str, str],
    numbers: list[ScreenedNumber],
    excluded: Collection[frozenset[str]],
) -> list[Relation]:
    """Return the columns that are another one times a factor of a discrete column's value.

    `numbers` are those of `sample`, whose rows yield candidates; factors are fitted to all rows of
    `table`. The discrete column with the fewest values is chosen. Pairs of numbers in `excluded`
    are left out.
    """
    keys = {
        name: codes
        for name, codes in encode_discrete(sample, types).items()
        if MIN_FACTORS < codes[1] <= min(MAX_KEYS, len(sample) / MIN_ROWS_PER_KEY)
    }
    by_size = sorted(keys, key=lambda name: keys[name][1])
    # Columns that determine each other have factors together.
    partitions = {name: partition_of(codes) for name, codes in keys.items()}
    codes_of = {partitions[name]: codes for name, codes in keys.items()}
    plain = [n for n in numbers if n.is_plain and n.distinct > MIN_ROWS // 2]
    relations = []
    for source, total in permutations(plain[:MAX_EQUATION_COLUMNS], 2):
        # Round numbers would be lost if they were computed from others.
        if total.distinct < MIN_DISTINCT_SHARE * _distinct_when_rounded(source, total.decimals):
            continue
        if {source.name, total.name} in excluded:
            continue
        pair = _Pair.of(source.values, total.values, total)
        fitting = {key for key, codes in codes_of.items() if pair.has_factors(codes)}
        candidates = (
            _fit(table, (key, types[key]), source.name, total)
            for key in by_size
            if key not in (source.name, total.name) and partitions[key] in fitting
        )
        if relation := next(filter(None, candidates), None):
            relations.append(relation)
    # A column that is finer or has more values follows from the other one.
    order = {number.name: (number.unit, -number.distinct) for number in plain}
    best: dict[frozenset[str], Relation] = {}
    for relation in sorted(relations, key=lambda relation: order[relation.last]):
        best.setdefault(frozenset(relation.columns), relation)
    return list(best.values())


def _distinct_when_rounded(number: ScreenedNumber, decimals: int) -> int:
    if not 0 <= decimals < number.decimals:
        return number.distinct
    return len(np.unique(np.round(number.values, decimals)))


@dataclass(frozen=True)
class _Pair:
    """The factors that turn one number into another, from `low` to `high`: each (N,)."""

    low: Floats
    high: Floats
    is_known: NDArray[np.bool_]  # (N,)
    source: NDArray[np.int64]  # codes (N,) of the first number
    bits: float  # of evidence in one row

    @classmethod
    def of(cls, source: Floats, total: Floats, number: ScreenedNumber) -> "_Pair":
        is_known = np.isfinite(source) & np.isfinite(total) & (np.abs(source) > 0)
        with np.errstate(all="ignore"):
            margin = rounding_tolerance(total, number.decimals, number.digits)
            bounds = np.stack([total - margin, total + margin]) / source
        low, high = bounds.min(0), bounds.max(0)
        bits = evidence_bits(number.values) / max(int(np.isfinite(number.values).sum()), 1)
        codes = np.unique(source, return_inverse=True)[1]
        return cls(low, high, is_known, codes, bits)

    def has_factors(self, codes: Codes) -> bool:
        """Return True if the rows of each value share a factor, too often for chance."""
        if self.is_known.sum() < MIN_ROWS:
            return False
        low, high = self.factor_ranges(codes)
        has_rows = np.isfinite(low)
        if (low > high)[has_rows].any():
            return False
        # Of several different factors, the ranges do not all overlap.
        if low[has_rows].max() <= high[has_rows].min():
            return False
        # Different numbers of the same value show that a factor is more than a value for each.
        index, _ = codes
        pairs = np.unique(index[self.is_known] * len(self.source) + self.source[self.is_known])
        return (len(pairs) - int(has_rows.sum())) * self.bits >= MIN_EVIDENCE_BITS

    def factor_ranges(self, codes: Codes) -> tuple[Floats, Floats]:
        """Return the lowest and highest factor of each value; -inf and inf without a row."""
        index, size = codes
        low, high = np.full(size, -np.inf), np.full(size, np.inf)
        np.maximum.at(low, index[self.is_known], self.low[self.is_known])
        np.minimum.at(high, index[self.is_known], self.high[self.is_known])
        return low, high


def _fit(
    table: pa.Table, key: tuple[str, str], source: str, total: ScreenedNumber
) -> Relation | None:
    """Fit the factors to all rows; `key` is the name and type of the discrete column.

    Return None if some rows have other factors.
    """
    name, type = key
    codes = encode_discrete(table, {name: type}).get(name)
    source_values, total_values = (as_floats(array(table, n)) for n in (source, total.name))
    pair = _Pair.of(source_values, total_values, total)
    if codes is None or not pair.has_factors(codes):
        return None
    values = array(table, name)
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    texts = [None, *as_text(values.dictionary).to_pylist()]  # 0 is the code of missing values
    factors = {
        text: roundest_between(low, high)
        for text, low, high in zip(texts, *pair.factor_ranges(codes), strict=True)
        if text is not None and np.isfinite(low)
    }
    columns = (name, source, total.name)
    return Relation("factor", columns, keys=tuple(factors), values=tuple(factors.values()))
