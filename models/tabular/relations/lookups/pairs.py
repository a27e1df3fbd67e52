"""Search for pairs of columns that together determine another one.

Examples are the distance between two airports, the price of a product in a size, and the minimum
wage of a state in a year. Neither column of the pair determines it alone.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.numbers.columns import max_exact_values
from models.tabular.relations.lookups.discrete import (
    FIRST_LOOKUP_ROWS,
    MAX_COMPARED_COLUMNS,
    QUANTITY_TYPES,
    Codes,
    encode_column,
    encode_discrete,
    partition_of,
    with_values,
)
from models.tabular.relations.relation import Relation

# Rows with another value than most rows of their pair: how many there must be if the total depended
# on one column of the pair alone, and how many of these there may be. A pair of columns is one of
# very many, so chance must be less likely than for a lookup of one column.
MIN_EXPECTED_OTHERS, MAX_OTHER_SHARE = 50.0, 0.05
MAX_AMBIGUOUS_SHARE = 0.2  # of the rows have a pair with several values
MAX_NEW_SHARE = 0.05  # of the rows have a new pair, estimated by those whose pair occurs once
FEW_ROWS = 500  # rule out most pairs
MAX_DIFFERING_SHARE = 0.25  # of few rows, relative to chance: each other value differs twice

Ints = NDArray[np.int64]
Pair = tuple[str, str]


def find_pair_lookups(
    table: pa.Table,
    types: Mapping[str, str],
    min_value_count: int,
    related: Collection[frozenset[str]],
) -> list[Relation]:
    """Return the pairs of columns that determine a third one, at most one for each of these.

    Of several pairs, it is the one of the fewest different values. Sets of columns in `related` are
    left out. Pairs of values are left out of a lookup if fewer than `min_value_count` rows have
    them, and a few that have several values of the third column.
    """
    discrete = encode_discrete(table, types)
    totals = discrete | {
        name: codes
        for name in [n for n, type in types.items() if type in QUANTITY_TYPES][
            :MAX_COMPARED_COLUMNS
        ]
        if (codes := encode_column(table, name))
    }
    best: dict[str, tuple[int, Pair]] = {}
    for pair, size, names in _candidates(_sources(discrete, types, len(table)), totals):
        for name in names:
            if {*pair, name} not in related:
                best[name] = min(best.get(name, (size, pair)), (size, pair))
    # The coarsest ones come first, because columns of others may follow from these.
    ordered = sorted((*found, name) for name, found in best.items())
    lookups = (Relation("lookup", (*pair, name)) for _, pair, name in ordered)
    return [with_values(lookup, table, min_value_count) for lookup in lookups]


def _sources(codes: Mapping[str, Codes], types: Mapping[str, str], rows: int) -> dict[str, Codes]:
    """Return the columns that may be in a pair: one of those that determine each other.

    Numbers of more values are learned in bins, so that sampled ones would rarely be in a pair.
    """
    chosen: dict[bytes, str] = {}
    # Of equivalent columns, the others are left out, because numbers have an order.
    for name in sorted(codes, key=lambda name: types[name] != "integer"):
        size = codes[name][1]
        if size > 2 and (types[name] != "integer" or size - 1 <= max_exact_values(rows)):
            chosen.setdefault(partition_of(codes[name]), name)
    return {name: codes[name] for name in codes if name in chosen.values()}


def _candidates(
    sources: Mapping[str, Codes], totals: Mapping[str, Codes]
) -> Iterator[tuple[Pair, int, list[str]]]:
    """Yield pairs, the numbers of their different values, and the columns that they determine."""
    names = [name for name, codes in totals.items() if codes[1] > 2]
    if not names:
        return
    values = [totals[name][0] for name in names]
    by_chance = np.array([chance_of_others(np.zeros_like(each), each) for each in values])
    rows = np.random.default_rng(0).permutation(len(values[0]))
    samples = [
        (part, np.stack([each[part] for each in values]), slack)
        for part, slack in ((rows[:FEW_ROWS], 1.0), (rows[:FIRST_LOOKUP_ROWS], 0.0))
    ]

    @cache
    def expected_share(source: str, i: int) -> float:
        return chance_of_others(sources[source][0], values[i])

    for pair in combinations(sources, 2):
        first, second = (sources[name][0] for name in pair)
        possible = np.array([i for i, name in enumerate(names) if name not in pair], np.int64)
        for part, sampled, slack in samples:
            compared, differing = _compare(_join(first[part], second[part]), sampled[possible])
            limit = MAX_DIFFERING_SHARE * compared * by_chance[possible] + slack
            possible = possible[(compared > 0) & (differing <= limit)]
        determined = [
            i
            for i in possible
            if all(expected_share(name, i) * len(values[i]) >= MIN_EXPECTED_OTHERS for name in pair)
            and _determines(first, second, values[i])
        ]
        if determined:
            yield pair, len(np.unique(_join(first, second))), [names[i] for i in determined]


def _join(first: Ints, second: Ints) -> Ints:
    """Return (N,) codes of the pairs of two codes, with gaps."""
    return first * (int(second.max(initial=0)) + 1) + second


def _compare(pairs: Ints, values: Ints) -> tuple[Ints, Ints]:
    """Compare rows with the next one of the same pair: return how many there are, and differ.

    Both are (K,), for each row of `values` (K, N). Missing values are not compared.
    """
    order = np.argsort(pairs, kind="stable")
    next_is_same = np.flatnonzero(np.diff(pairs[order]) == 0)
    before, after = values[:, order[next_is_same]], values[:, order[next_is_same + 1]]
    are_compared = (before > 0) & (after > 0)
    return are_compared.sum(1), (are_compared & (before != after)).sum(1)


def chance_of_others(source: Ints, values: Ints) -> float:
    """Return the share of the rows whose value a random row of the same source does not have."""
    counts, groups, rows = _counts(source[values > 0], values[values > 0])
    agreeing = np.bincount(groups, counts.astype(np.float64) ** 2) / np.maximum(rows, 1)
    return 1 - float(agreeing.sum()) / max(int(rows.sum()), 1)


def _counts(source: Ints, values: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the rows and the source of each pair of a source and a value, and rows by source."""
    width = int(values.max(initial=0)) + 1
    pairs, counts = np.unique(source * width + values, return_counts=True)
    groups = np.unique(pairs // width, return_inverse=True)[1]
    return counts, groups, np.bincount(groups, counts).astype(np.int64)


def _determines(first: Ints, second: Ints, values: Ints) -> bool:
    """Return True if the pairs have one value each, which neither of their columns explains."""
    is_present = values > 0
    first, second, values = first[is_present], second[is_present], values[is_present]
    counts, groups, rows = _counts(np.unique(_join(first, second), return_inverse=True)[1], values)
    most = np.zeros(len(rows), np.int64)
    np.maximum.at(most, groups, counts)
    others = int((rows - most).sum())
    # The first row of a pair may have any value.
    expected = (rows - 1).sum() * min(
        chance_of_others(source, values) for source in (first, second)
    )
    return bool(
        (rows == 1).sum() <= MAX_NEW_SHARE * len(values)
        and rows[rows > most].sum() <= MAX_AMBIGUOUS_SHARE * len(values)
        and expected >= MIN_EXPECTED_OTHERS
        and others <= MAX_OTHER_SHARE * expected
    )
