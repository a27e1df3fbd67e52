"""Gradient-boosted trees over binned columns, for the evaluation of tables.

Sources: Friedman 2001; histograms as in LightGBM (Ke et al. 2017). On tables, boosted trees predict
targets and detect synthetic rows better than a network does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bins = NDArray[np.int64]
Floats = NDArray[np.float64]

TREES = 100
DEPTH = 5
LEARNING_RATE = 0.1
MIN_LEAF_ROWS = 20
L2_REGULARIZATION = 1.0  # added to the hessian of every leaf


@dataclass(frozen=True)
class _Tree:
    """Full binary tree: a column per node, and a mask of the bins that go left."""

    columns: list[NDArray[np.int64]]  # per level, (2**level,)
    left: list[NDArray[np.bool_]]  # per level, (2**level, bins)
    leaves: Floats  # (2**DEPTH,)

    def __call__(self, bins: Bins) -> Floats:
        node = np.zeros(len(bins), np.int64)
        rows = np.arange(len(bins))
        for columns, left in zip(self.columns, self.left, strict=True):
            value = bins[rows, columns[node]]
            node = 2 * node + ~left[node, value]
        return self.leaves[node]


def _grow(
    bins: Bins, size: int, unordered: NDArray[np.bool_], gradient: Floats, hessian: Floats
) -> _Tree:
    """Grow a tree level by level; each node gets the column and the cut with the highest gain.

    The gain of a split is G_l^2 / (H_l + L2) + G_r^2 / (H_r + L2), for the sums G of the gradients
    and H of the hessians of its sides. The bins of an unordered column are sorted by the value that
    they would predict, which makes the best subset a cut (Fisher 1958).
    """
    n, width = bins.shape
    cell_weights = np.repeat(gradient, width), np.repeat(hessian, width), None
    node = np.zeros(n, np.int64)
    flat = bins + np.arange(width) * size
    columns, left = [], []
    for level in range(DEPTH):
        nodes = 2**level
        cell = (flat + node[:, None] * width * size).ravel()
        sums = [
            np.bincount(cell, weights, minlength=nodes * width * size).reshape(nodes, width, size)
            for weights in cell_weights
        ]
        g, h, count = sums
        order = np.broadcast_to(np.arange(size), g.shape).copy()
        order[:, unordered] = np.argsort(
            -g[:, unordered] / (h[:, unordered] + L2_REGULARIZATION), axis=2
        )
        g, h, count = (np.take_along_axis(s, order, 2).cumsum(2) for s in (g, h, count))
        gain = g**2 / (h + L2_REGULARIZATION) + (g[..., -1:] - g) ** 2 / (
            h[..., -1:] - h + L2_REGULARIZATION
        )
        gain[(count < MIN_LEAF_ROWS) | (count[..., -1:] - count < MIN_LEAF_ROWS)] = -np.inf
        best = gain.reshape(nodes, -1).argmax(1)
        column, cut = np.divmod(best, size)
        rank = np.argsort(order[np.arange(nodes), column], axis=1)
        go_left = rank <= cut[:, None]
        go_left[~np.isfinite(gain.reshape(nodes, -1)[np.arange(nodes), best])] = True
        columns.append(column)
        left.append(go_left)
        node = 2 * node + ~go_left[node, bins[np.arange(n), column[node]]]
    g = np.bincount(node, gradient, minlength=2**DEPTH)
    h = np.bincount(node, hessian, minlength=2**DEPTH)
    return _Tree(columns, left, -LEARNING_RATE * g / (h + L2_REGULARIZATION))


def _bin_count(*parts: Bins) -> int:
    return 1 + max(int(part.max()) for part in parts)


def regress(bins: Bins, unordered: NDArray[np.bool_], y: Floats, test_bins: Bins) -> Floats:
    """Fit (N,) numbers by squared error, and return the predictions for the (M, W) test rows.

    `bins` are (N, W) small integers. `unordered` (W,) marks columns whose bins have no order.
    """
    center, size = y.mean(), _bin_count(bins, test_bins)
    fitted, predicted = np.full(len(y), center), np.full(len(test_bins), center)
    for _ in range(TREES):
        tree = _grow(bins, size, unordered, fitted - y, np.ones(len(y)))
        fitted += tree(bins)
        predicted += tree(test_bins)
    return predicted


def classify(
    bins: Bins, unordered: NDArray[np.bool_], y: NDArray[np.int64], classes: int, test_bins: Bins
) -> Floats:
    """Fit (N,) labels, and return (M, classes) probabilities for the (M, W) test rows.

    More than two classes are fitted one versus the rest.
    """
    if classes == 2:
        probability = _fit_binary(bins, unordered, y == 1, test_bins)
        return np.stack([1 - probability, probability], 1)
    scores = np.stack([_fit_binary(bins, unordered, y == k, test_bins) for k in range(classes)], 1)
    return np.asarray(scores / scores.sum(1, keepdims=True), np.float64)


def _fit_binary(
    bins: Bins, unordered: NDArray[np.bool_], y: NDArray[np.bool_], test_bins: Bins
) -> Floats:
    size = _bin_count(bins, test_bins)
    log_odds = np.log((y.sum() + 0.5) / ((~y).sum() + 0.5))
    fitted, predicted = np.full(len(y), log_odds), np.full(len(test_bins), log_odds)
    for _ in range(TREES):
        probability = 1 / (1 + np.exp(-fitted))
        tree = _grow(bins, size, unordered, probability - y, probability * (1 - probability))
        fitted += tree(bins)
        predicted += tree(test_bins)
    return np.asarray(1 / (1 + np.exp(-predicted)), np.float64)
