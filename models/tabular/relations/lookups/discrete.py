"""Search for columns that determine another one, and for columns that are never equal."""

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text, from_text
from models.tabular.constraints.declarations import DISCRETE_TYPES
from models.tabular.identifiers.words.public_words import MAX_LISTED, are_names_of_the_same
from models.tabular.numbers.grid import is_numeric
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array
from models.tabular.relations.screened_numbers import MAX_EQUIVALENT_COLUMNS

MIN_EXPECTED_VIOLATIONS = 20.0  # of an order or of distinct columns, if they were independent
MIN_PRESENT_SHARE = 0.95  # of the rows have both values of a lookup that missing ones break
MAX_LOOKUP_SHARE = 0.5  # distinct values of a column whose values repeat, relative to the rows
# The same of the source of a lookup. Up to 60 % of the rows of a table, values are a category; a
# part of its rows has fewer that repeat.
MAX_KEY_SHARE = 0.7
# Evidence for a lookup: less than for an equation, which is the best of very many formulas.
MIN_LOOKUP_BITS = 40.0
MIN_NEAR_KEYS = 10  # of a lookup that a few keys break
MAX_AMBIGUOUS_KEYS = 0.2  # keys with several values, relative to all keys, and their rows to all
MAX_OTHER_SHARE = 0.05  # rows with a rarer value of their key, relative to those by chance
MIN_EXPECTED_OTHERS = 100  # rows with a rarer value of their key, by chance
MIN_LISTED_ENTRIES = 20  # of a public list, most of which a table has once
MAX_COMPARED_COLUMNS = 40  # compared pairwise, of each type
QUANTITY_TYPES = ("number", "datetime", "time")  # that Arrow reads from text; integers are discrete
MIN_COMMON_SHARE = 0.8  # of the rows have values that the other one of two distinct columns has
FIRST_LOOKUP_ROWS = 5_000  # rule out most lookups
Codes = tuple[NDArray[np.int64], int]  # (N,) codes, 0 where missing; their number


def find_lookups(table: pa.Table, types: Mapping[str, str], min_value_count: int) -> list[Relation]:
    """Return the pairs of columns of which the first one determines the second one.

    The first one is discrete; the second one may be a quantity, such as the latitude of a station.
    Keys that fewer than `min_value_count` rows have are left out, and so are a few texts that do
    not determine a discrete column, such as cities of the same name in several states. A number
    that is left out would be given the value of the nearest one: all must determine the column.
    """
    others = [name for name, type in types.items() if type in QUANTITY_TYPES][:MAX_COMPARED_COLUMNS]
    codes = encode_discrete(table, types)
    # Of two columns that determine each other, numbers stay, because their order helps to learn.
    sources = sorted(codes, key=lambda name: not is_numeric(table.schema.field(name).type))
    places = _places_among_equivalent({name: codes[name] for name in sources})
    codes |= {name: encoded for name in others if (encoded := encode_column(table, name))}
    listed = _listed_lookups(table, types, min_value_count)
    return listed + [
        with_values(Relation("lookup", (source, total)), table, min_value_count)
        for source in sources
        for total in codes
        if source != total
        and all(relation.columns != (source, total) for relation in listed)
        and _are_compared(places, source, total)
        and (
            determines(codes[source], codes[total])
            or (
                total not in others
                and not is_numeric(table.schema.field(source).type)
                and _mostly_determines(codes[source], codes[total])
            )
        )
    ]


def _places_among_equivalent(codes: Mapping[str, Codes]) -> dict[str, tuple[bytes, int]]:
    """Return the classes of columns with equal values in the same rows, and their places in these.

    The columns of a class determine each other.
    """
    sizes: Counter[bytes] = Counter()
    places: dict[str, tuple[bytes, int]] = {}
    for name, column in codes.items():
        key = partition_of(column)
        places[name] = key, sizes[key]
        sizes[key] += 1
    return places


def partition_of(codes: Codes) -> bytes:
    """Return a digest that is the same for columns whose equal values are in the same rows."""
    index, size = codes
    numbers = np.zeros(size, np.int64)
    numbers[index[::-1]] = np.arange(len(index), 0, -1)  # each code's first row is assigned last
    numbers[0] = 0  # missing
    return hashlib.sha256(numbers[index].tobytes()).digest()


def _are_compared(places: Mapping[str, tuple[bytes, int]], a: str, b: str) -> bool:
    """Return False for two of many equivalent columns, which the first one of them determines."""
    if a not in places or b not in places or places[a][0] != places[b][0]:
        return True
    first, last = sorted((places[a][1], places[b][1]))
    return first == 0 or last < MAX_EQUIVALENT_COLUMNS


def _listed_lookups(
    table: pa.Table, types: Mapping[str, str], min_value_count: int
) -> list[Relation]:
    """Return lookups between two names of the same, such as countries and their codes.

    A table may have one row for each entry. Which code belongs to which country is public, so that
    rows need not repeat it.
    """
    categories = [name for name, type in types.items() if type == "category"]
    texts = {
        name: as_text(array(table, name)).dictionary_encode()
        for name in categories[:MAX_COMPARED_COLUMNS]
    }
    mostly_distinct = [
        name
        for name, values in sorted(texts.items())
        if max(MAX_LOOKUP_SHARE * len(table), MIN_LISTED_ENTRIES) < len(values.dictionary) + 1
        and len(values.dictionary) <= MAX_LISTED
    ]
    return [
        with_values(Relation("lookup", (source, total)), table, min_value_count)
        for source in mostly_distinct
        for total, values in texts.items()
        if source != total
        and len(values.dictionary) <= len(texts[source].dictionary)
        and _is_function(codes_of(texts[source])[0], codes_of(values)[0])
        and are_names_of_the_same(_present_pairs(texts[source], values))
    ]


def _present_pairs(a: pa.DictionaryArray, b: pa.DictionaryArray) -> set[tuple[str, str]]:
    rows = zip(a.to_pylist(), b.to_pylist(), strict=True)
    return {(first, second) for first, second in rows if first is not None and second is not None}


def encode_discrete(table: pa.Table, types: Mapping[str, str]) -> dict[str, Codes]:
    """Return the codes of the discrete columns by name, without those of too many values."""
    return {name: encoded for name in _discrete(types) if (encoded := encode_column(table, name))}


def _discrete(types: Mapping[str, str]) -> list[str]:
    return [name for name, type in types.items() if type in DISCRETE_TYPES][:MAX_COMPARED_COLUMNS]


def encode_column(table: pa.Table, name: str) -> Codes | None:
    """Return the codes of a column; None if it has too many values, or some that are not exact."""
    values = array(table, name)
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    distinct = values.dictionary
    if len(distinct) + 1 > MAX_KEY_SHARE * len(values):
        return None
    return (
        codes_of(values) if from_text(as_text(distinct), distinct.type).equals(distinct) else None
    )


def codes_of(values: pa.DictionaryArray) -> Codes:
    indices = values.indices.fill_null(-1).to_numpy(zero_copy_only=False) + 1
    return indices.astype(np.int64), len(values.dictionary) + 1


def determines(
    source: Codes, total: Codes, independent: NDArray[np.int64] | slice = slice(None)
) -> bool:
    """Return True if each value of the source has one of the total, too often for chance.

    The rows in `independent` are the evidence. A few missing values may break it.
    """
    (a, size), (b, total_size) = source, total
    if not 2 < total_size <= size:
        return False
    first_a, first_b = a[:FIRST_LOOKUP_ROWS], b[:FIRST_LOOKUP_ROWS]
    is_present = (first_a > 0) & (first_b > 0)
    if not _is_function(first_a[is_present], first_b[is_present]):
        return False
    is_evidence = np.zeros(len(a), bool)
    is_evidence[independent] = True
    if not _is_function(a, b):
        is_present = (a > 0) & (b > 0)
        a, b, is_evidence = a[is_present], b[is_present], is_evidence[is_present]
        if is_present.mean() < MIN_PRESENT_SHARE or not _is_function(a, b):
            return False
    shares = np.bincount(b) / len(b)
    repeated = int(is_evidence.sum()) - len(np.unique(a))
    return -repeated * math.log2(float((shares**2).sum())) >= MIN_LOOKUP_BITS


def _mostly_determines(source: Codes, total: Codes) -> bool:
    """Return True if most values of the source have one of the total, other than by chance.

    Rows that have another one than most rows of their key are few relative to those that would if
    the columns were independent.
    """
    (a, size), (b, total_size) = source, total
    if not 2 < total_size <= size or size < MIN_NEAR_KEYS:
        return False
    first = slice(FIRST_LOOKUP_ROWS)
    return _is_mostly_function(a[first], b[first]) and _is_mostly_function(a, b)


def _is_mostly_function(a: NDArray[np.int64], b: NDArray[np.int64]) -> bool:
    is_present = (a > 0) & (b > 0)
    a, b = a[is_present], b[is_present]
    if len(a) < MIN_PRESENT_SHARE * len(is_present):
        return False
    width = int(b.max(initial=0)) + 1
    pairs, counts = np.unique(a * width + b, return_counts=True)
    keys, starts = np.unique(pairs // width, return_index=True)
    if len(pairs) > (1 + MAX_AMBIGUOUS_KEYS) * len(keys):
        return False
    rows = np.add.reduceat(counts, starts)
    other = rows - np.maximum.reduceat(counts, starts)
    expected = (rows - 1).sum() * (1 - float(((np.bincount(b) / len(b)) ** 2).sum()))
    is_rare = other.sum() <= MAX_OTHER_SHARE * expected
    return bool(
        is_rare
        and expected >= MIN_EXPECTED_OTHERS
        and rows[other > 0].sum() <= MAX_AMBIGUOUS_KEYS * len(a)
    )


def _is_function(a: NDArray[np.int64], b: NDArray[np.int64]) -> bool:
    """Return True if rows with the same code in `a` have the same one in `b`."""
    value = np.zeros(a.max(initial=0) + 1, np.int64)
    value[a] = b
    return np.array_equal(value[a], b)


def with_values(relation: Relation, table: pa.Table, min_value_count: int) -> Relation:
    """Return a copy of a lookup with its keys and values, without the keys of too few rows."""
    pairs = pa.table(
        {
            "key": as_text(relation.source(table)),
            "value": as_text(array(table, relation.last)),
            "count": np.ones(len(table), np.int64),
        }
    )
    grouped = pairs.group_by(["key", "value"]).aggregate([("count", "sum")]).sort_by("key")
    columns = (grouped.column(name).to_pylist() for name in ("key", "value", "count_sum"))
    groups = list(zip(*columns, strict=True))
    # Missing values next to others are not those of the key.
    determined = {key for key, value, _ in groups if value is not None}
    groups = [each for each in groups if each[1] is not None or each[0] not in determined]
    # A rare second value makes a key ambiguous, too.
    values_of = Counter(key for key, _, _ in groups)
    value_of = {
        key: value for key, value, rows in groups if values_of[key] == 1 and rows >= min_value_count
    }
    return replace(relation, keys=tuple(value_of), values=tuple(value_of.values()))


def find_distinct(
    table: pa.Table, types: Mapping[str, str], related: Collection[frozenset[str]]
) -> list[Relation]:
    """Return the pairs with common values that no row has twice, such as the teams of a match.

    Pairs in `related`, between which another relation holds, are left out.
    """
    names = _discrete(types)
    encoded = {name: as_text(array(table, name)).dictionary_encode() for name in names}
    return [
        relation
        for a, b in combinations(names, 2)
        if types[a] == types[b]
        and {a, b} not in related
        and _may_be_equal(encoded[a], encoded[b])
        and (relation := Relation("distinct", (a, b))).holds(table).all()
    ]


def _may_be_equal(a: pa.DictionaryArray, b: pa.DictionaryArray) -> bool:
    """Return True if the columns have nearly the same values, and independent ones were equal."""
    counts = []
    for column in (a, b):
        indices = column.indices.drop_null().to_numpy(zero_copy_only=False)
        counts.append(np.bincount(indices, minlength=len(column.dictionary)))
    common = pa.compute.index_in(b.dictionary, value_set=a.dictionary)
    is_common = common.is_valid().to_numpy(zero_copy_only=False)
    of_a = counts[0][common.drop_null().to_numpy(zero_copy_only=False)]
    of_b = counts[1][is_common]
    covered = min(of_a.sum() / max(counts[0].sum(), 1), of_b.sum() / max(counts[1].sum(), 1))
    expected = float((of_a * of_b).sum()) / len(a)
    return bool(covered >= MIN_COMMON_SHARE) and expected >= MIN_EXPECTED_VIOLATIONS
