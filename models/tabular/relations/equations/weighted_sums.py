"""Search for numbers that are weighted sums of others, such as averages and final grades."""

from collections.abc import Collection
from operator import itemgetter

import numpy as np

from models.tabular.categorical_columns import Floats
from models.tabular.relations.relation import Relation
from models.tabular.relations.screened_numbers import (
    MIN_DISTINCT_VALUES,
    MIN_ROWS,
    ScreenedNumber,
    agrees,
    roundest_between,
)

MAX_COLUMNS = 40
MAX_FITTED_ROWS = 2_000
MIN_TERMS = 2
MIN_PRESENT_SHARE = 0.9  # of the rows with a total have each of the other numbers
ERRORS = 6.0  # standard errors by which a fitted weight may differ from a round one
MIN_ERROR = 1e-9  # of a weight, relative to the scales of both columns


def find_weighted_sums(
    numbers: list[ScreenedNumber], determined: Collection[str]
) -> list[Relation]:
    """Return `w1 * a + w2 * b + … + offset = total` with round weights.

    The weights are fitted by least squares and then rounded, so no set of columns needs to be
    chosen. Columns in `determined` follow from the others: with them, weights would be ambiguous.
    """
    plain = [n for n in numbers if n.is_plain and n.name not in determined][:MAX_COLUMNS]
    candidates = [
        (min(relation.values) < 0, total.unit, relation)
        for total in plain
        if total.distinct >= MIN_DISTINCT_VALUES and (relation := _fit(plain, total))
    ]
    # An average follows from its terms, rather than a term from the average.
    best: dict[frozenset[str], Relation] = {}
    for *_, relation in sorted(candidates, key=itemgetter(0, 1)):
        best.setdefault(frozenset(relation.columns), relation)
    return list(best.values())


def _fit(numbers: list[ScreenedNumber], total: ScreenedNumber) -> Relation | None:
    present = np.isfinite(total.values)
    others = [
        number
        for number in numbers
        if number is not total
        and number.distinct > 1
        and np.isfinite(number.values[present]).mean() >= MIN_PRESENT_SHARE
    ]
    if len(others) < MIN_TERMS:
        return None
    values = np.stack([number.values for number in (*others, total)])
    values = values[:, np.isfinite(values).all(0)][:, :MAX_FITTED_ROWS]
    if values.shape[1] < max(MIN_ROWS, 2 * len(values)):
        return None
    scales = np.maximum(np.abs(values).max(1), 1e-300)
    x, y = (values / scales[:, None])[:-1].T, values[-1] / scales[-1]
    design = np.column_stack([x, np.ones(len(y))])
    weights, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    if rank < design.shape[1]:
        return None
    residual = y - design @ weights
    rounding = max(total.tolerance / scales[-1], MIN_ERROR)
    if np.abs(residual).max() > 2 * rounding:
        return None
    # Of columns that nearly follow from each other, rounding may make a variance negative.
    spread = np.sqrt(np.maximum(np.diag(np.linalg.inv(design.T @ design)), 0.0))
    errors = ERRORS * (rounding * spread + MIN_ERROR)
    to_units = scales[-1] / np.append(scales[:-1], 1.0)
    rounded = [
        roundest_between((weight - error) * unit, (weight + error) * unit, with_zero=True)
        for weight, error, unit in zip(weights, errors, to_units, strict=True)
    ]
    return _relation(others, total, rounded[:-1], rounded[-1])


def _relation(
    others: list[ScreenedNumber], total: ScreenedNumber, weights: list[float], offset: float
) -> Relation | None:
    terms = [(number, weight) for number, weight in zip(others, weights, strict=True) if weight]
    is_plain_sum = {abs(weight) for _, weight in terms} == {1.0}
    if len(terms) < MIN_TERMS or is_plain_sum:
        return None
    computed: Floats = np.sum([weight * number.values for number, weight in terms], axis=0) + offset
    if not agrees(computed, total):
        return None
    columns = (*(number.name for number, _ in terms), total.name)
    values = tuple(weight for _, weight in terms)
    return Relation("weighted_sum", columns, values=values, offset=offset)
