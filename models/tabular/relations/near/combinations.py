"""Near combinations: numbers that are about the sum or difference of several others.

Parts in percent add up to about 100, and a stock is about the one before plus what came in minus
what went out. In no row need this be exact. One of these numbers is learned as what the others
leave: if each were learned, the errors of all would add up.
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.relations.held_out_bits import held_out_bits
from models.tabular.relations.near.codings import MIN_DISTINCT, MIN_ROWS
from models.tabular.relations.relation import Relation

MIN_COMPLETE_SHARE = 0.99  # of the rows have all numbers of a combination
MIN_ROWS_PER_COLUMN = 5
MAX_REST = 0.35  # standard deviation of what a regression leaves, relative to that of the number
MAX_WEIGHT_ERROR = 0.15  # of regression weights, which are about 1 or -1
MIN_SPREAD_DROP = 0.05  # of the variance of the rest, by a further term
MIN_GAIN_BITS = 1.5  # per held-out value, over the number and its differences from single terms
OFFSET_DEVIATIONS = 3.0
RIDGE = 1e-9  # relative to the variances


def find_near_combinations(
    numbers: Mapping[str, Floats],
    decimals: Mapping[str, int],
    excluded: Collection[str],
    is_fitted: NDArray[np.bool_],
) -> dict[Relation, float]:
    """Return the near sums of at least two terms with the bits that each saves per value.

    `numbers` (N,) are in units of the last of all their `decimals`. No relation codes a column in
    `excluded`.
    """
    names = [
        name
        for name, values in numbers.items()
        if np.isfinite(values).mean() >= MIN_COMPLETE_SHARE
        and len(np.unique(values)) > MIN_DISTINCT
    ]
    if len(names) < 3:
        return {}
    rows = np.stack([numbers[name] for name in names])
    rows = rows[:, np.isfinite(rows).all(0)]
    if rows.shape[1] < max(MIN_ROWS, MIN_ROWS_PER_COLUMN * len(names)):
        return {}
    places = max(decimals.values())
    gains: dict[Relation, float] = {}
    for index, signs in _candidates(rows):
        last, terms = names[index], [names[k] for k in np.flatnonzero(signs)]
        # A total with fewer decimals than its terms would be rounded.
        if last in excluded or decimals[last] < max(decimals[name] for name in terms):
            continue
        signed = [sign * numbers[n] for sign, n in zip(signs[signs != 0], terms, strict=True)]
        rest = numbers[last] - np.sum(signed, 0)
        unit = np.full(len(rest), 10.0 ** (places - decimals[last]))
        rest_bits = held_out_bits(rest, is_fitted, unit)
        others = [numbers[last], *(numbers[last] - term for term in signed)]
        gain = min(float(np.nanmean(held_out_bits(o, is_fitted, unit) - rest_bits)) for o in others)
        if gain >= MIN_GAIN_BITS:
            relation = Relation(
                "near_sum",
                (*terms, last),
                decimals=decimals[last],
                signs=tuple(signs[signs != 0].tolist()),
                offset=round(_round_offset(rest) / 10.0**places, places),
            )
            gains[relation] = gain
    return _of_different_columns(gains)


def _candidates(rows: Floats) -> list[tuple[int, NDArray[np.int64]]]:
    """Return indices of columns of (K, N) numbers with the (K,) signs of their terms, 0 for none.

    The inverse of the correlations has the regressions of each column on all others.
    """
    spread = rows.std(1)
    precision = np.linalg.inv(np.corrcoef(rows) + RIDGE * np.eye(len(rows)))
    variances = np.diag(precision)
    weights = -precision / variances[:, None] * spread[:, None] / spread[None, :]
    candidates = []
    for i in np.flatnonzero(variances > MAX_REST**-2):
        signs = np.where(np.abs(np.abs(weights[i]) - 1) < MAX_WEIGHT_ERROR, np.sign(weights[i]), 0)
        signs[i] = 0
        if (signs != 0).sum() < 2:
            continue
        rest = rows[i] - signs @ rows
        for k in np.flatnonzero((signs == 0) & (np.arange(len(rows)) != i)):
            changed = rest - np.sign(weights[i, k]) * rows[k]
            if changed.var() < (1 - MIN_SPREAD_DROP) * rest.var():
                signs[k], rest = np.sign(weights[i, k]), changed
        candidates.append((int(i), signs.astype(np.int64)))
    return candidates


def _round_offset(rest: Floats) -> float:
    """Return the median of (N,) rests, rounded to a power of ten within which they vary."""
    present = rest[np.isfinite(rest)]
    step = 10.0 ** np.ceil(np.log10(max(OFFSET_DEVIATIONS * present.std(), 1e-9)))
    return float(np.rint(np.median(present) / step) * step)


def _of_different_columns(gains: Mapping[Relation, float]) -> dict[Relation, float]:
    """Return the relations without those that have the columns of a better one."""
    kept: dict[Relation, float] = {}
    for relation in sorted(gains, key=gains.__getitem__, reverse=True):
        columns = set(relation.columns)
        if not any(columns <= {*other.columns} or columns >= {*other.columns} for other in kept):
            kept[relation] = gains[relation]
    return kept
