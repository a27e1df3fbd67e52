"""Near sums: numbers that are the sum of two others in most rows.

The area of two floors is mostly the living area, but some houses have a further part; wins and
losses are mostly the games, but some games are ties. Such a total is learned as what the sum
leaves, which is 0 in most rows. A total with fewer decimals than the terms, such as a loan in whole
euros, of which a part is repaid, is not: two learned terms would hardly add up to one. Instead, a
term is learned as what the total leaves without the other one.

Sums of more terms, and those that are exact in few rows, are near combinations
(`near/combinations.py`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import NumberGrid, exact_numbers
from models.tabular.relations.held_out_bits import held_out_bits, sampled_rows
from models.tabular.relations.kinds import NOT_DETERMINING
from models.tabular.relations.near.codings import MIN_ROWS
from models.tabular.relations.near.combinations import find_near_combinations
from models.tabular.relations.near.detection import MAX_COLUMNS
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats

MIN_COMPLETE_SHARE = 0.99  # of the rows with the total have both terms
MIN_EXACT_SHARE = 0.3  # of the rows with values have exactly the sum
FIRST_ROWS = 200  # rule out most sums
MIN_FIRST_SHARE, MIN_FIRST_BOTH_SHARE = 0.2, 0.02  # of them have a sum that is not 0, of two terms
MIN_TERM_SHARE = 0.02  # of the rows, in which a term is not 0
MIN_GAIN_BITS = 1.0  # per held-out value, over the total and over its difference from a term


def find_near_sums(
    table: pa.Table,
    types: Mapping[str, str],
    excluded: Collection[str],
    exact: Iterable[Relation] = (),
) -> list[Relation]:
    """Return the near sums, the one that saves most bits first. No sum codes those in `excluded`.

    Only sums are tried that have no exact relation: `excluded` has the columns that these code, and
    `exact` the relations of the table.
    """
    names = exact_numbers(table, types)
    rows, is_fitted = sampled_rows(len(table))
    if len(rows) < MIN_ROWS:
        return []
    sample = table.select(names).take(pa.array(rows))
    decimals = {name: NumberGrid.fit(array(sample, name)).decimals for name in names}
    names = [name for name in names if decimals[name] >= 0][:MAX_COLUMNS]
    decimals = {name: decimals[name] for name in names}
    scale = 10.0 ** max(decimals.values(), default=0)
    numbers = {name: np.rint(as_floats(array(sample, name)) * scale) for name in names}
    gains: dict[Relation, float] = {}
    for a, b, total in _screened(numbers, excluded):
        terms, last = (a, b), total
        if decimals[total] < max(decimals[a], decimals[b]):
            first, last = (b, a) if decimals[a] > decimals[b] else (a, b)
            terms = (total, first)
        if last in excluded:
            continue
        sign = 1 if last == total else -1
        rest = numbers[last] - numbers[terms[0]] - sign * numbers[terms[1]]
        present = rest[np.isfinite(rest)]
        # Where another number is missing, the rest is a whole one.
        is_complete = len(present) >= MIN_COMPLETE_SHARE * np.isfinite(numbers[last]).sum()
        if not is_complete or len(present) < MIN_ROWS or (present == 0).mean() < MIN_EXACT_SHARE:
            continue
        unit = np.full(len(rest), scale / 10.0 ** decimals[last])
        with_rest = held_out_bits(rest, is_fitted, unit)
        others = [numbers[last], *(numbers[last] - numbers[term] for term in terms)]
        gain = min(
            float(np.nanmean(held_out_bits(other, is_fitted, unit) - with_rest)) for other in others
        )
        if gain >= MIN_GAIN_BITS:
            signs = () if last == total else (1, -1)
            relation = Relation("near_sum", (*terms, last), decimals=decimals[last], signs=signs)
            gains[relation] = gain
    determining = [each for each in exact if each.kind not in NOT_DETERMINING]
    in_sums = [set(relation.columns) for relation in (*gains, *determining)]
    larger = find_near_combinations(numbers, decimals, excluded, is_fitted)
    gains |= {r: gain for r, gain in larger.items() if not any(s <= {*r.columns} for s in in_sums)}
    return sorted(gains, key=gains.__getitem__, reverse=True)


def _screened(
    numbers: Mapping[str, Floats], excluded: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield two terms and a total that the first rows do not rule out."""
    totals = [name for name in numbers if name not in excluded]
    if not totals:
        return
    first = np.stack([numbers[name][:FIRST_ROWS] for name in totals])
    terms = [n for n, values in numbers.items() if (np.abs(values) > 0).mean() >= MIN_TERM_SHARE]
    for a, b in combinations(terms, 2):
        terms_first = numbers[a][:FIRST_ROWS], numbers[b][:FIRST_ROWS]
        both = (terms_first[0] != 0) & (terms_first[1] != 0)
        is_sum = (first == terms_first[0] + terms_first[1]) & (first != 0)
        is_possible = is_sum.mean(1) >= MIN_FIRST_SHARE
        is_possible &= (is_sum & both).mean(1) >= MIN_FIRST_BOTH_SHARE
        for index in np.flatnonzero(is_possible):
            if totals[index] not in (a, b):
                yield a, b, totals[index]
