"""Edges of a numeric column's bins, chosen by the values and by the labels of their rows.

Bins hold equal numbers of rows. Then some edges move to the values where the shares of the labels
change most, so that no bin mixes the values of a rare label with those of the others.
"""

import numpy as np

from models.tabular.categorical_columns import Floats, Tokens

MAX_CUTS = 8  # edges that labels move
MAX_COUNTS = 500_000  # of the labels of all candidates of a cut


def equal_bins(bins: int) -> Floats:
    """Return the (bins + 1,) edges of bins that hold equal numbers of values, as ranks."""
    return np.linspace(0.0, 1.0, bins + 1) if bins else np.empty(0)


def fit_bin_edges(values: Tokens, labels: Tokens | None, bins: int) -> Floats:
    """Return the (bins + 1,) edges as ranks.

    `values` (N,) are the indices of the rows' values among the distinct values in bins.
    """
    edges = equal_bins(bins)
    if labels is None or not bins or not len(values):
        return edges
    is_free = np.ones(len(edges), bool)
    is_free[[0, -1]] = False
    for cut in _label_cuts(values, labels):
        if is_free.any():
            nearest = np.argmin(np.where(is_free, np.abs(edges - cut), np.inf))
            edges[nearest], is_free[nearest] = cut, False
    return np.sort(edges)


def _label_cuts(values: Tokens, labels: Tokens) -> list[float]:
    """Return the ranks at which the shares of the labels change most.

    Each cut is the best split of a decision tree by information gain, as long as the gain exceeds
    the cost of its parameters (Bayesian information criterion).
    """
    present, label_index = np.unique(labels, return_inverse=True)
    # Neighboring values share a cell if there are too many of them.
    values_per_cell = -(-int(values.max() + 1) * len(present) // MAX_COUNTS)
    cells = values // values_per_cell
    shape = int(cells.max()) + 1, len(present)
    counts = np.bincount(cells * shape[1] + label_index, minlength=shape[0] * shape[1])
    below = np.concatenate([np.zeros((1, shape[1])), np.cumsum(counts.reshape(shape), axis=0)])
    cost = 0.5 * shape[1] * np.log(len(labels))
    cuts: list[int] = []
    segments = [_best_split(below, 0, shape[0])]
    while segments and len(cuts) < MAX_CUTS:
        segments.sort()
        gain, cut, start, end = segments.pop()
        if gain <= cost:
            break
        cuts.append(cut)
        segments += [_best_split(below, start, cut), _best_split(below, cut, end)]
    return [float(rank) for rank in below[cuts].sum(1) / len(labels)]


def _best_split(below: Floats, start: int, end: int) -> tuple[float, int, int, int]:
    """Return (gain, cut, start, end) of the split of the cells from `start` to `end`."""
    if end - start < 2:
        return 0.0, start, start, end
    lower = below[start + 1 : end] - below[start]
    upper = below[end] - below[start + 1 : end]
    gains = _log_likelihood(lower) + _log_likelihood(upper)
    cut = int(np.argmax(gains))
    whole = _log_likelihood(below[end] - below[start])
    return float(gains[cut] - whole), start + 1 + cut, start, end


def _log_likelihood(counts: Floats) -> Floats:
    """Return the maximum log-likelihood of label counts (..., labels)."""
    total = counts.sum(-1)
    terms = counts * np.log(np.maximum(counts, 1.0))
    return np.asarray(terms.sum(-1) - total * np.log(np.maximum(total, 1.0)))
