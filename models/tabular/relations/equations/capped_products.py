"""Search for products that bound a number and that many rows have exactly.

An order line may cost its quantity times its price, but at most a limit, or an amount may be that
product unless the price was shown as at most 100. Where the ratio to the product varies little,
the number is learned as this ratio instead (`near/codings.py`).
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import NumberGrid, exact_numbers
from models.tabular.relations.near.codings import is_near_product
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import ROUNDING, array, as_floats
from models.tabular.relations.screened_numbers import MAX_EQUATION_COLUMNS

MIN_ROWS = 200
FIRST_ROWS = 200  # rule out most products
MIN_FIRST_SHARE = 0.1
MIN_EXACT_SHARE = 0.2  # of the rows have the product, which is neither of its factors
MIN_DISTINCT = 20  # products that are exact


def find_capped_products(
    table: pa.Table, types: Mapping[str, str], excluded: Collection[str]
) -> list[Relation]:
    """Return the products of two numbers that a third one never exceeds, or never falls below.

    No product determines the columns in `excluded`, or more than one a column.
    """
    if len(table) < MIN_ROWS:
        return []
    names = exact_numbers(table, types)[:MAX_EQUATION_COLUMNS]
    numbers = {name: as_floats(array(table, name)) for name in names}
    decimals = {name: NumberGrid.fit(array(table, name)).decimals for name in names}
    totals = [name for name in names if name not in excluded and decimals[name] >= 0]
    if not totals:
        return []
    first = np.stack([numbers[name][:FIRST_ROWS] for name in totals])
    units = np.array([[10.0 ** -decimals[name]] for name in totals])
    by_total: dict[str, Relation] = {}
    for a, b in combinations(names, 2):
        product = numbers[a][:FIRST_ROWS] * numbers[b][:FIRST_ROWS]
        is_exact = np.abs(first - product) <= ROUNDING * units
        is_factor = (product == numbers[a][:FIRST_ROWS]) | (product == numbers[b][:FIRST_ROWS])
        is_likely = (is_exact & ~is_factor).mean(1) >= MIN_FIRST_SHARE
        for last in np.array(totals)[is_likely].tolist():
            values = numbers[a], numbers[b], numbers[last]
            if last not in (a, b, *by_total) and _is_capped(*values, 10.0 ** -decimals[last]):
                relation = Relation("product", (a, b, last), decimals=decimals[last])
                by_total[last] = replace(relation, exceptions=True)
    return list(by_total.values())


def _is_capped(a: Floats, b: Floats, total: Floats, unit: float) -> bool:
    """Return True if the products of (N,) factors bound a total that has many of them."""
    product = a * b
    present = np.isfinite(product) & np.isfinite(total)
    difference = np.where(present, total - product, 0.0)
    is_above, is_below = difference > ROUNDING * unit, difference < -ROUNDING * unit
    if is_above.any() == is_below.any() or is_near_product(total, a, b):
        return False
    is_exact = present & ~is_above & ~is_below & (product != a) & (product != b)
    is_frequent = is_exact.sum() >= MIN_EXACT_SHARE * present.sum()
    return bool(is_frequent and len(np.unique(product[is_exact])) >= MIN_DISTINCT)
