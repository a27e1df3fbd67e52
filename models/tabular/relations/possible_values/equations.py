"""Narrowing by equations of numbers, whose extremes are at the ends of the ranges of the others."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Floats
from models.tabular.relations.kinds import DATE_SUMS, SUMS
from models.tabular.relations.possible_values.values import PossibleValues
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import FLOAT_TOLERANCE, as_floats, rounding_tolerance

# Each is monotone in each column, but products and ratios only where the others keep their sign.
EQUATIONS = (
    *SUMS, *DATE_SUMS, "weighted_sum", "linear", "product", "ratio", "elapsed", "date_bound"
)  # fmt: skip
MAX_CORNERS = 256  # of the ranges of the columns from which a number follows
MAX_KEYED_CORNERS = 1 << 16  # of these and the keys of amounts


def narrow_by_equation(possible: PossibleValues, relation: Relation) -> PossibleValues:
    """Narrow the numbers of an equation, each by those of the others."""
    possible = _narrow_at_corners(possible, relation, relation.last)
    if relation.kind == "date_bound":
        return possible
    for name in relation.columns[:-1]:
        if relation.can_solve(name):
            possible = _narrow_at_corners(possible, relation, name)
    return possible


def narrow_by_amounts(possible: PossibleValues, relation: Relation) -> PossibleValues:
    """Narrow the amounts by their keys, and these by the amounts."""
    key, *factors, last = relation.columns
    if key not in possible.texts or not possible.low.keys() >= {*factors, last}:
        return possible
    _, mask = possible.texts[key]
    if 2 ** len(factors) * mask.size > MAX_KEYED_CORNERS:
        return possible
    lowest, highest = _amounts_of_keys(possible, relation)
    has_number = lowest <= highest
    is_known = np.logical_and.reduce([possible.present[n] for n in (key, *factors)])
    is_used = is_known & ~(mask & ~has_number).any(1)
    is_free = ~has_number | ~(is_known & possible.present[last])[:, None]
    fits = (lowest <= possible.high[last][:, None]) & (highest >= possible.low[last][:, None])
    low = np.where(mask, lowest, np.inf).min(1)
    high = np.where(mask, highest, -np.inf).max(1)
    return possible.with_mask(key, fits | is_free).with_range(
        last, np.where(is_used, low, -np.inf), np.where(is_used, high, np.inf)
    )


def _amounts_of_keys(possible: PossibleValues, relation: Relation) -> tuple[Floats, Floats]:
    """Return the smallest and the largest amounts (N, K) of K keys, infinite without a number."""
    key, *factors, last = relation.columns
    values, mask = possible.texts[key]
    corners, num_rows = 2 ** len(factors), len(mask)
    repeated = pa.array(np.repeat(np.arange(len(values)), corners * num_rows))
    arrays = {key: values.take(repeated)}
    if factors:
        rows = _corners(possible, factors)
        arrays |= {n: pa.concat_arrays([rows.column(n)] * len(values)) for n in factors}
    arrays[last] = pa.nulls(len(repeated), pa.float64())
    amounts = relation.possible_numbers(pa.RecordBatch.from_pydict(arrays))
    margin = _margin(relation, np.nan_to_num(amounts.ravel())).reshape(amounts.shape)
    shape = len(amounts), len(values), corners, num_rows
    lowest = np.where(np.isnan(amounts), np.inf, amounts - margin).reshape(shape)
    highest = np.where(np.isnan(amounts), -np.inf, amounts + margin).reshape(shape)
    return lowest.min((0, 2)).T, highest.max((0, 2)).T


def _narrow_at_corners(possible: PossibleValues, relation: Relation, name: str) -> PossibleValues:
    """Narrow a column of an equation of numbers by the ends of the ranges of the others."""
    others = [other for other in relation.columns if other != name]
    corners = 2 ** len(others)
    if corners > MAX_CORNERS or not possible.low.keys() >= {name, *others}:
        return possible
    squared = [other for other in others if others.count(other) > 1]  # least within its range
    if any(_spans_zero(possible, each) for each in (*_divisors(relation, name, others), *squared)):
        return possible
    rows = _corners(possible, others)
    if name == relation.last:
        numbers = relation.compute_numbers(rows)
        margin = _margin(relation, numbers)
        lowest, highest = numbers - margin, numbers + margin
    else:
        index = rows.schema.get_field_index(relation.last)
        last = as_floats(rows.column(index))
        margin = _margin(relation, last)
        lowest, highest = np.sort(
            [
                relation.solve(rows.set_column(index, relation.last, pa.array(each)), name)
                for each in (last - margin, last + margin)
            ],
            axis=0,
        )
    lowest, highest = lowest.reshape(corners, -1), highest.reshape(corners, -1)
    is_known = np.logical_and.reduce([possible.present[other] for other in others])
    is_known &= np.isfinite(lowest).all(0) & np.isfinite(highest).all(0)
    has_end = is_known & (relation.kind != "date_bound")
    return possible.with_range(
        name,
        np.where(is_known, lowest.min(0), -np.inf),
        np.where(has_end, highest.max(0), np.inf),
    )


def _divisors(relation: Relation, name: str, others: Sequence[str]) -> Sequence[str]:
    """Return the columns by which a column of an equation is computed with a division."""
    if relation.kind == "product" and name != relation.last:
        return others
    if relation.kind == "ratio":
        return others[1:] if name == relation.last else others
    return ()


def _spans_zero(possible: PossibleValues, name: str) -> bool:
    return bool(((possible.low[name] <= 0) & (possible.high[name] >= 0)).any())


def _corners(possible: PossibleValues, names: Sequence[str]) -> pa.RecordBatch:
    """Return (C * N,) rows with the ends of the ranges of columns, corner by corner."""
    corners = list(product((possible.low, possible.high), repeat=len(names)))
    columns = {
        name: np.concatenate([corner[i][name] for corner in corners])
        for i, name in enumerate(names)
    }
    finite = {name: np.where(np.isinf(x), np.nan, x) for name, x in columns.items()}
    return pa.RecordBatch.from_pydict({name: pa.array(x) for name, x in finite.items()})


def _margin(relation: Relation, numbers: Floats) -> Floats:
    """Return by how much (M,) numbers may differ from those that a relation gives."""
    if relation.decimals < 0:
        return FLOAT_TOLERANCE * np.abs(numbers)
    roundings = len(relation.columns) if relation.kind == "rounded_sum" else 1
    tolerance = rounding_tolerance(np.nan_to_num(numbers), relation.decimals, relation.digits)
    return np.asarray(roundings * tolerance)
