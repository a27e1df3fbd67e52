"""Fit of the numbers of keys, such as the prices of products, to all rows."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats, as_text
from models.tabular.relations.keyed.numbers import product_of
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats, rounding_tolerance
from models.tabular.relations.screened_numbers import roundest_between

MIN_ROWS, MIN_INEXACT_ROWS = 50, 100
MIN_SHARE = 0.8  # of the rows have a number of their key
MIN_REPEATED_SHARE = 0.7  # of the rows of keys of several rows have a number of another row, too
MAX_NUMBERS_PER_KEY = 16
MAX_FORMULA_ERROR = 0.01  # of numbers that are proportional to their keys, by rounding
MAX_ROWS_OF_SINGLE = 5  # of a key, of which a number of a single row may be another price
MIN_SPECIFIC_SHARE = 0.3  # of the rows have another number than the most frequent one
MIN_FIRST_SHARE = 0.4  # of the rows have the most frequent number of their key

Ints = NDArray[np.int64]


def fit_numbers(relation: Relation, table: pa.Table) -> Relation | None:
    """Return the relation with the numbers of keys, or None if too few rows have one of them."""
    key = array(table, relation.columns[0])
    key = key if pa.types.is_dictionary(key.type) else key.dictionary_encode()
    index = key.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    total = as_floats(array(table, relation.last))
    added = as_floats(array(table, relation.columns[-2])) if relation.signs else 0.0
    names = relation.columns[1 : 1 + len(relation.factor_forms)]
    factors = product_of(relation.factor_forms, [as_floats(array(table, n)) for n in names])
    with np.errstate(all="ignore"):
        margin = rounding_tolerance(np.nan_to_num(total), relation.decimals, relation.digits)
        ends = np.stack([total - added - margin, total - added + margin]) / factors
    low, high = ends.min(0), ends.max(0)
    is_known = np.isfinite(low) & np.isfinite(high) & (index >= 0)
    is_complete = np.isfinite(total + added + factors) & (index >= 0)
    if is_known.sum() < MIN_ROWS or is_complete.sum() == 0:
        return None
    groups = _Groups.of(index[is_known], low[is_known], high[is_known])
    rank = groups.ranks()
    if not groups.are_convincing(rank):
        return None
    is_kept = rank >= 0
    values = zip(groups.key[is_kept], groups.low[is_kept], groups.high[is_kept], strict=True)
    numbers = [(int(k), roundest_between(low, high)) for k, low, high in values]
    texts = as_text(key.dictionary).to_pylist()
    fitted = replace(
        relation,
        keys=tuple(texts[k] for k, _ in numbers),
        values=tuple(value for _, value in numbers),
        exceptions=True,
    )
    if _is_formula_of_key(fitted):
        return None
    holds = fitted.holds(table)
    has_number = np.isin(index, [k for k, _ in numbers])
    share = (holds & has_number)[is_complete].mean()
    if share < MIN_SHARE:
        return None
    if holds.all() and len({k for k, _ in numbers}) == len(numbers):
        return replace(fitted, exceptions=False)
    return fitted if is_known.sum() >= MIN_INEXACT_ROWS else None


def _is_formula_of_key(relation: Relation) -> bool:
    """Return True if most numbers of numeric keys are proportional to these, or to their inverse.

    Then the amount is a product or a ratio.
    """
    numbers = relation.with_rank(0)
    try:
        keys = np.array(numbers.keys, np.float64)
    except ValueError:
        return False
    values = np.array(numbers.values)
    with np.errstate(all="ignore"):
        quotients = [values / keys, values * keys]
    return any(
        np.mean(np.abs(q / np.nanmedian(q) - 1) < MAX_FORMULA_ERROR) >= MIN_REPEATED_SHARE
        for q in quotients
    )


@dataclass(frozen=True)
class _Groups:
    """Groups of rows of the same key that may have one number, from `low` to `high`.

    `rows` are their sizes, and `specific` the rows that cannot have the number of the largest one.
    """

    key: Ints
    low: Floats
    high: Floats
    rows: Ints
    specific: Ints

    @classmethod
    def of(cls, key: Ints, low: Floats, high: Floats) -> "_Groups":
        """Group rows by their key and by ranges of numbers that have a common one.

        The groups are sorted by their keys, and those of a key by their rows, the largest first.
        """
        order = np.lexsort((low, key))
        key, low, high = key[order], low[order], high[order]
        starts: list[int] = []
        top, last = -np.inf, -1
        for i, (k, a, b) in enumerate(zip(key.tolist(), low.tolist(), high.tolist(), strict=True)):
            if k != last or a > top:
                starts.append(i)
                top, last = b, k
            else:
                top = min(top, b)
        begins = np.array(starts, np.int64)
        lows, highs = np.maximum.reduceat(low, begins), np.minimum.reduceat(high, begins)
        rows = np.diff(np.append(begins, len(key)))
        # A number of many keys, such as 1, may be of other rows than those of the true relation.
        heaviest = rows.argmax()
        usual = roundest_between(lows[heaviest], highs[heaviest])
        is_specific = (low > usual) | (high < usual)
        specific = np.add.reduceat(is_specific.astype(np.int64), begins)
        order = np.lexsort((-rows, key[begins]))
        return cls(key[begins][order], lows[order], highs[order], rows[order], specific[order])

    def ranks(self) -> Ints:
        """Return the (G,) ranks of the numbers of a key, from 0 on; -1 for those that are left out.

        The groups of a key are sorted by their number of rows. A number of a single row is left out
        if its key has many others.
        """
        num_rows = np.bincount(self.key, self.rows)[self.key]
        first = np.flatnonzero(np.diff(self.key, prepend=-1))
        rank = np.arange(len(self.key)) - np.repeat(first, np.diff(np.append(first, len(self.key))))
        is_frequent = (self.rows > 1) | (num_rows <= MAX_ROWS_OF_SINGLE)
        return np.where(is_frequent & (rank < MAX_NUMBERS_PER_KEY), rank, -1)

    def are_convincing(self, rank: Ints) -> bool:
        """Return True if most rows have one of few numbers of their key, which other keys lack."""
        # The rows of keys of a single one are no evidence.
        is_repeated = np.bincount(self.key, self.rows)[self.key] > 1
        agrees = (rank >= 0) & (self.rows > 1)
        rows, specific = self.rows[is_repeated], self.specific[is_repeated]
        return bool(
            rows[agrees[is_repeated]].sum() >= MIN_REPEATED_SHARE * rows.sum()
            and specific[agrees[is_repeated]].sum() >= MIN_REPEATED_SHARE * specific.sum()
            and specific.sum() >= MIN_SPECIFIC_SHARE * rows.sum()
            and rows[rank[is_repeated] == 0].sum() >= MIN_FIRST_SHARE * rows.sum()
        )
