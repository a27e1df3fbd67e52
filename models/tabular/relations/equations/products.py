"""Search for totals that are a product plus or minus another number.

An example is the amount of an order line: `price * quantity - discount = amount`.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from models.tabular.relations.relation import Relation
from models.tabular.relations.screened_numbers import (
    FIRST_ROWS,
    MIN_DISTINCT_VALUES,
    MIN_NONZERO_ROWS,
    ScreenedNumber,
    agrees,
    is_needed,
)


def find_products_with_rest(numbers: Sequence[ScreenedNumber]) -> Iterator[Relation]:
    """Yield the equations between four of the numbers, of which the third is added to a product.

    The first rows rule out nearly all of them.
    """
    first = np.array([number.values[:FIRST_ROWS] for number in numbers])
    for a, b in combinations(range(len(numbers)), 2):
        if max(numbers[a].distinct, numbers[b].distinct) < MIN_DISTINCT_VALUES:
            continue
        product = numbers[a].values * numbers[b].values
        for t, total in enumerate(numbers):
            if t in (a, b) or total.distinct < MIN_DISTINCT_VALUES:
                continue
            difference = first[t] - product[:FIRST_ROWS]
            for sign in (-1, 1):
                differs = np.abs(difference - sign * first) > total.tolerances[:FIRST_ROWS]
                for c in np.flatnonzero(~differs.any(axis=1)).tolist():
                    rest = numbers[c].values
                    if c in (a, b, t) or not agrees(product + sign * rest, total):
                        continue
                    smallest = 2 * total.tolerances
                    if (np.abs(product) > smallest).sum() < MIN_NONZERO_ROWS:
                        continue
                    if is_needed(rest, smallest):
                        names = tuple(numbers[i].name for i in (a, b, c, t))
                        yield Relation("product", names, signs=(sign,))
