"""Search for columns whose values say how many decimals a number has.

Prices in yen have none and those in euros two, pieces are whole and kilograms are not, and each
quantity of a laboratory has its own. Tens and hundreds have negative decimals.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats, as_text
from models.tabular.numbers.grid import NumberGrid
from models.tabular.relations.lookups.discrete import (
    FIRST_LOOKUP_ROWS,
    Codes,
    encode_discrete,
)
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats
from models.tabular.relations.screened_numbers import MIN_EVIDENCE_BITS, ScreenedNumber

MAX_KEYS = 200  # different values of the column that says the decimals
MIN_KEY_BITS = 10.0  # evidence that the decimals of one key are no chance
MIN_DISTINCT, MIN_KEY_DISTINCT = 20, 5  # of a number, and of those of a key; fewer are learned
MIN_FINER_ROWS = 20  # of other keys, with more decimals
MAX_ZEROS = 3  # before the decimal point: up to thousands
Ints = NDArray[np.int64]


def find_decimals(
    table: pa.Table,
    types: Mapping[str, str],
    numbers: list[ScreenedNumber],
    related: Collection[str],
) -> list[Relation]:
    """Return the relations of discrete columns and the numbers whose decimals they determine.

    A number has one key at most: that with the most evidence. Those in `related` are left out.
    """
    keys = {name: c for name, c in encode_discrete(table, types).items() if c[1] <= MAX_KEYS}
    names = [n.name for n in numbers if n.is_plain and n.distinct >= MIN_DISTINCT]
    relations = (_best_key(name, keys, table) for name in names if name not in related)
    return [relation for relation in relations if relation is not None]


def _best_key(name: str, keys: Mapping[str, Codes], table: pa.Table) -> Relation | None:
    """Return the relation of a number and the key with the most evidence, if one has enough."""
    column = array(table, name)
    decimals = NumberGrid.fit(column).decimals  # in all rows: one number may be finer than others
    if decimals < 0:
        return None
    values = as_floats(column)
    zeros = _zeros(values, decimals)
    if not (zeros > 0).any():
        return None
    best, most_bits = None, MIN_EVIDENCE_BITS
    for key, codes in keys.items():
        if key == name or not _may_have_fewer(codes, zeros):
            continue
        zeros_of_keys, bits = _zeros_of_keys(codes, zeros, values)
        if bits > most_bits:
            best, most_bits = (key, decimals - zeros_of_keys), bits
    if best is None:
        return None
    key, decimals_of_keys = best
    relation = Relation("decimals", (key, name), decimals=decimals)
    return _with_decimals(relation, table, keys[key], decimals_of_keys)


def _zeros(values: Floats, decimals: int) -> Ints:
    """Return the (N,) numbers of zeros at the ends of numbers with `decimals`.

    They are -1 for missing values, and for 0, which has all decimals.
    """
    is_missing = ~np.isfinite(values) | (values == 0)
    units = np.rint(np.where(is_missing, 0.0, values) * 10.0**decimals)
    zeros = np.zeros(len(values), np.int64)
    for count in range(1, decimals + MAX_ZEROS + 1):
        zeros[units % 10.0**count == 0] = count
    return np.where(is_missing, -1, zeros)


def _may_have_fewer(codes: Codes, zeros: Ints) -> bool:
    """Return False if the first rows of each key have a number with all decimals."""
    first_codes, first_zeros = codes[0][:FIRST_LOOKUP_ROWS], zeros[:FIRST_LOOKUP_ROWS]
    has_all = np.zeros(codes[1], bool)
    has_all[first_codes[first_zeros == 0]] = True
    return not has_all[1:].all()


def _zeros_of_keys(codes: Codes, zeros: Ints, values: Floats) -> tuple[Ints, float]:
    """Return the zeros that all numbers of each of K keys have, 0 where it may be chance.

    Also return the evidence in bits: how unlikely these rows are if such numbers were as frequent
    as in the rows of the other keys.
    """
    index, count = codes
    present = zeros >= 0
    index, zeros, values = index[present], zeros[present], values[present]
    least = np.full(count, zeros.max(initial=0))
    np.minimum.at(least, index, zeros)
    rows = np.bincount(index, minlength=count)
    kinds = int(zeros.max(initial=0)) + 1
    table = np.bincount(index * kinds + zeros, minlength=count * kinds).reshape(count, kinds)
    at_least = table[:, ::-1].cumsum(1)[:, ::-1]  # (K, zeros): rows with as many zeros or more
    others = at_least.sum(0)[least] - at_least[np.arange(count), least]
    share = (others + 1) / (rows.sum() - rows + 2)
    finer = at_least[:, 0].sum() - rows - others
    bits = np.where(
        (least > 0) & (finer >= MIN_FINER_ROWS) & (np.arange(count) > 0),
        -rows * np.log2(share),
        0.0,
    )
    is_sure = bits >= MIN_KEY_BITS
    for key in np.flatnonzero(is_sure):
        is_sure[key] = len(np.unique(values[index == key])) >= MIN_KEY_DISTINCT
    return np.where(is_sure, least, 0), float(bits[is_sure].sum())


def _with_decimals(relation: Relation, table: pa.Table, codes: Codes, decimals: Ints) -> Relation:
    """Return the relation with the keys of fewer decimals than the column has."""
    distinct, first_rows = np.unique(codes[0], return_index=True)
    texts = as_text(array(table, relation.columns[0]).take(pa.array(first_rows))).to_pylist()
    of_code = dict(zip(distinct.tolist(), texts, strict=True))
    fewer = [code for code in of_code if code and decimals[code] < relation.decimals]
    return replace(
        relation,
        keys=tuple(of_code[code] for code in fewer),
        values=tuple(float(decimals[code]) for code in fewer),
    )
