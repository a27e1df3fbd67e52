"""Bits of held-out numbers under a model of other rows: the measure by which codings are chosen."""

import numpy as np
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats

MAX_FITTED_ROWS, MAX_HELD_OUT_ROWS = 6_000, 3_000
COMMON_SHARE = 0.015  # of the rows; more frequent values have tokens of their own
BINS, MIN_VALUES_PER_BIN = 64, 20
SAME_VALUE_WEIGHTS = (0.0, 0.5, 0.9)  # of equal values, next to a histogram; the best one counts


def sampled_rows(num_rows: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the indices of the compared rows, and the mask of those to which models are fitted."""
    rows = np.random.default_rng(0).permutation(num_rows)[: MAX_FITTED_ROWS + MAX_HELD_OUT_ROWS]
    fitted = len(rows) * MAX_FITTED_ROWS // (MAX_FITTED_ROWS + MAX_HELD_OUT_ROWS)
    return rows, np.arange(len(rows)) < fitted


def held_out_bits(values: Floats, is_fitted: NDArray[np.bool_], unit: Floats) -> Floats:
    """Return the (N,) bits of held-out values under a model of the others; NaN elsewhere.

    The model is a histogram, mixed with the fraction of rows that have exactly the same value where
    that saves bits: a coding must not lose values that several rows share, such as results of
    elections. Common values have separate probabilities. `unit` (N,) is the distance of a value to
    the next possible one; NaN where there is no value to compare.
    """
    is_usable = np.isfinite(values) & np.isfinite(unit)
    fitted, held = values[is_fitted & is_usable], values[~is_fitted & is_usable]
    if not len(fitted):
        return np.full(len(values), np.nan)
    common = common_values(fitted)
    rest = np.sort(fitted[~np.isin(fitted, common)])
    bins = max(1, min(BINS, len(rest) // MIN_VALUES_PER_BIN))
    edges = np.unique(np.quantile(rest, np.linspace(0, 1, bins + 1))) if len(rest) else held[:0]
    if len(edges) < 2:
        largest = fitted.max()
        edges = np.array([fitted.min(), largest + max(1.0, np.spacing(abs(largest)))])
    counts = np.histogram(rest, edges)[0] + 0.5
    bin_index = np.clip(np.searchsorted(edges, held, side="right") - 1, 0, len(counts) - 1)
    share = np.minimum(unit[~is_fitted & is_usable] / np.diff(edges)[bin_index], 1.0)
    probability = share * counts[bin_index] / (len(fitted) + 0.5 * len(counts))
    distinct, repeats = np.unique(fitted, return_counts=True)
    index = np.minimum(np.searchsorted(distinct, held), len(distinct) - 1)
    same = np.where(distinct[index] == held, repeats[index] / len(fitted), 0.0)
    mixtures = [(1 - weight) * probability + weight * same for weight in SAME_VALUE_WEIGHTS]
    probability = max(mixtures, key=lambda mixture: np.log2(mixture).sum())
    for value in common:
        probability[held == value] = (fitted == value).mean()
    bits = np.full(len(values), np.nan)
    bits[~is_fitted & is_usable] = -np.log2(probability)
    return bits


def common_values(values: Floats) -> Floats:
    """Return the ascending frequent values, which are no part of bins; NaN is none of them."""
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return distinct[counts > max(COMMON_SHARE * len(values), 8)]


def rank_correlation(a: Floats, b: Floats) -> float:
    """Return the correlation of the ranks of (N,) numbers, where equal ones have one rank."""
    a, b = (np.unique(values, return_inverse=True)[1].astype(np.float64) for values in (a, b))
    return float(np.corrcoef(a, b)[0, 1])
