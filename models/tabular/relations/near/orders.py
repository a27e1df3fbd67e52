"""Search for orders that a few odd rows break, such as a review of somebody who had left.

Samples satisfy them in all rows. So an order of numbers, which may have true exceptions, needs more
evidence than one of dates or times.
"""

from collections.abc import Collection, Mapping
from itertools import permutations

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import exact_numbers, is_numeric
from models.tabular.relations.detection import TEMPORAL_TYPES
from models.tabular.relations.lookups.discrete import (
    MAX_COMPARED_COLUMNS,
    MIN_EXPECTED_VIOLATIONS,
)
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats

MIN_ROWS = 50
SCREENED_ROWS = 500  # rule out most pairs
MAX_SCREENED_EXCEPTIONS = 0.04  # of them: by chance, they may have more than all rows
MAX_EXCEPTIONS = {"temporal": 0.01, "number": 0.0002}  # of the rows; one row may always be odd
MIN_LIFT = {"temporal": 10.0, "number": 300.0}  # of the violations by chance, relative to the rows
MIN_STRICT_SHARE = 0.1  # of the rows have two different values


def find_orders_with_exceptions(
    table: pa.Table, types: Mapping[str, str], excluded: Collection[frozenset[str]]
) -> list[Relation]:
    """Return the orders of two numbers, dates or times that few rows break, much fewer than chance.

    Pairs in `excluded` are related otherwise.
    """
    if len(table) < MIN_ROWS:
        return []
    temporal = [name for name, type in types.items() if type in TEMPORAL_TYPES]
    temporal = [name for name in temporal if is_numeric(table.schema.field(name).type)]
    groups = {"number": exact_numbers(table, types), "temporal": temporal}
    orders = []
    for group, names in groups.items():
        values = {name: as_floats(array(table, name)) for name in names[:MAX_COMPARED_COLUMNS]}
        for low, high in permutations(values, 2):
            is_same_type = table.schema.field(low).type == table.schema.field(high).type
            if frozenset((low, high)) in excluded or (group == "temporal" and not is_same_type):
                continue
            if _is_order(values[low], values[high], MAX_EXCEPTIONS[group], MIN_LIFT[group]):
                orders.append(Relation("order", (low, high), exceptions=True))
    return orders


def _is_order(low: Floats, high: Floats, max_exceptions: float, min_lift: float) -> bool:
    """Return True if few of (N,) pairs are not in order, but many would be by chance."""
    step = max(1, len(low) // SCREENED_ROWS)
    if (low[::step] > high[::step]).mean() > MAX_SCREENED_EXCEPTIONS:
        return False
    both_present = np.isfinite(low) & np.isfinite(high)
    a, b = low[both_present], high[both_present]
    violations = int((a > b).sum())
    if len(a) < MIN_ROWS or not 0 < violations <= max(1, max_exceptions * len(a)):
        return False
    if (a < b).mean() < MIN_STRICT_SHARE:
        return False
    expected = np.searchsorted(np.sort(b), a).mean()
    return bool(expected >= max(MIN_EXPECTED_VIOLATIONS, min_lift * violations))
