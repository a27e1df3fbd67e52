"""Search for numbers that differ from another one by an amount that each key has.

In a panel, the age of a person is the year minus the year of birth, which need not be a column. Or
what was paid of a loan and what is open have the same sum in all rows of the loan.
"""

from collections.abc import Mapping, Set
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats, as_text
from models.tabular.relations.lookups.discrete import (
    MAX_COMPARED_COLUMNS,
    Codes,
    encode_discrete,
    partition_of,
)
from models.tabular.relations.lookups.pairs import MIN_EXPECTED_OTHERS, chance_of_others
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats
from models.tabular.relations.screened_numbers import FIRST_ROWS, MIN_ROWS, ScreenedNumber

MIN_DISTINCT_VALUES = 3  # of both numbers
MIN_REPEATING_SHARE = 0.1  # of the rows have a number of other rows, which may explain another one
TOLERANCE = 1e-3  # units of the last decimal, by which floats may miss an amount


def find_offsets(
    table: pa.Table,
    types: Mapping[str, str],
    numbers: list[ScreenedNumber],
    excluded: Set[frozenset[str]],
) -> list[Relation]:
    """Return the numbers that are the amount of a key plus or minus another number.

    The number of more values follows from the other one. Of several keys, that of the fewest
    different values is chosen. Sets of columns in `excluded` are left out.
    """
    plain = [
        number
        for number in numbers
        if number.is_plain and number.decimals >= 0 and number.distinct >= MIN_DISTINCT_VALUES
    ]
    plain = sorted(plain[:MAX_COMPARED_COLUMNS], key=lambda number: number.distinct)
    if len(plain) < 2:
        return []
    values = np.stack([as_floats(array(table, number.name)) for number in plain])
    units = np.array([10.0**-number.decimals for number in plain])
    relations: dict[frozenset[str], Relation] = {}
    for key, codes in _keys(table, types):
        rows, following = _rows_of_same_key(codes)
        if len(rows) < MIN_ROWS:
            continue
        for first, second, sign in _possible(values[:, following] - values[:, rows], units):
            columns = key, plain[first].name, plain[second].name
            pair = frozenset(columns[1:])
            if key in pair or pair in relations or excluded & {pair, frozenset(columns)}:
                continue
            amounts = values[second] - sign * values[first]
            tolerance = TOLERANCE * units[second]
            if _has_amounts(codes, values[first], values[second], amounts, tolerance):
                decimals = max(plain[first].decimals, plain[second].decimals)
                relations[pair] = _with_amounts(
                    Relation("offset", columns, signs=(sign,), decimals=plain[second].decimals),
                    table,
                    np.round(amounts, decimals),
                )
    return list(relations.values())


def _keys(table: pa.Table, types: Mapping[str, str]) -> list[tuple[str, Codes]]:
    """Return the discrete columns, those of few values first: one of those that are equivalent."""
    codes = encode_discrete(table, types)
    partitions: dict[bytes, str] = {}
    for name in codes:
        partitions.setdefault(partition_of(codes[name]), name)
    names = sorted(partitions.values(), key=lambda name: codes[name][1])
    return [(name, codes[name]) for name in names]


def _rows_of_same_key(codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of a few rows, and of other rows with the same key."""
    index, _ = codes
    order = np.argsort(index, kind="stable")
    order = order[index[order] > 0]
    is_same = np.diff(index[order]) == 0
    few = np.random.default_rng(0).permutation(int(is_same.sum()))[:FIRST_ROWS]
    return order[:-1][is_same][few], order[1:][is_same][few]


def _possible(changes: Floats, units: Floats) -> list[tuple[int, int, int]]:
    """Return the indices of two of (K, N) numbers that change alike, and 1, or -1 if oppositely."""
    return [
        (first, second, sign)
        for first, second in combinations(range(len(changes)), 2)
        for sign in (1, -1)
        if not (np.abs(changes[second] - sign * changes[first]) > TOLERANCE * units[second]).any()
    ]


def _has_amounts(
    codes: Codes, first: Floats, second: Floats, amounts: Floats, tolerance: float
) -> bool:
    """Return True if each key has one amount, and nothing else explains the second number.

    These are the key alone, the first number alone if its values repeat, and an amount that all
    keys share.
    """
    both = np.isfinite(amounts) & (codes[0] > 0)
    if both.sum() < MIN_ROWS:
        return False
    amounts, key = amounts[both], np.unique(codes[0][both], return_inverse=True)[1]
    low, high = np.full(len(key), np.inf), np.full(len(key), -np.inf)
    np.minimum.at(low, key, amounts)
    np.maximum.at(high, key, amounts)
    if (high - low > tolerance).any() or np.ptp(amounts) <= tolerance:
        return False
    others, numbers = (np.unique(each[both], return_inverse=True)[1] for each in (first, second))
    share, repeats = chance_of_others(key, numbers + 1), np.bincount(others)[others] > 1
    if repeats.mean() >= MIN_REPEATING_SHARE:
        share = min(share, chance_of_others(others[repeats], numbers[repeats] + 1))
    return bool((len(key) - key.max() - 1) * share >= MIN_EXPECTED_OTHERS)


def _with_amounts(relation: Relation, table: pa.Table, amounts: Floats) -> Relation:
    """Return the relation with the amounts of the keys, given those of the (N,) rows."""
    is_known = np.isfinite(amounts)
    texts = as_text(array(table, relation.columns[0])).filter(pa.array(is_known)).to_pylist()
    of_key = dict(zip(texts, amounts[is_known].tolist(), strict=True))
    of_key.pop(None, None)
    return Relation(
        relation.kind,
        relation.columns,
        signs=relation.signs,
        decimals=relation.decimals,
        keys=tuple(of_key),
        values=tuple(of_key.values()),
    )
