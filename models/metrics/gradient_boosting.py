"""Gradient-boosted trees over binned columns, for the evaluation of tables.

Sources: Friedman 2001; histograms as in LightGBM (Ke et al. 2017). On tables, boosted trees predict
targets and detect synthetic rows better than a network does.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bins = NDArray[np.int64]
Floats = NDArray[np.float64]

TREES = 100
MIN_TREES, MAX_TREES_OF_CLASSES = 25, 400  # of each class, and of all together
DEPTH = 5
LEARNING_RATE = 0.1
MIN_LEAF_ROWS = 20
L2_REGULARIZATION = 1.0  # added to the hessian of every leaf


@dataclass(frozen=True)
class _Tree:
    """Full binary tree: a column per node, and a mask of the bins that go left."""

    columns: list[NDArray[np.int64]]  # per level, (2**level,)
    left: list[NDArray[np.bool_]]  # per level, (2**level, bins)
    leaves: Floats  # (2**depth, K)

    def __call__(self, bins: Bins) -> Floats:
        """Return the (N, K) outputs of (N, W) rows."""
        node = np.zeros(len(bins), np.int64)
        rows = np.arange(len(bins))
        for columns, left in zip(self.columns, self.left, strict=True):
            value = bins[rows, columns[node]]
            node = 2 * node + ~left[node, value]
        return self.leaves[node]


def _grow(
    bins: Bins,
    size: int,
    unordered: NDArray[np.bool_],
    gradient: Floats,
    hessian: Floats | None,
    depth: int,
) -> _Tree:
    """Grow a tree level by level; each node gets the column and the cut with the highest gain.

    `gradient` is (N, K) for K outputs; `hessian` (N,) is that of each output, None if it is 1. The
    gain of a split is the sum over outputs of G_l^2 / (H_l + L2) + G_r^2 / (H_r + L2), for the sums
    G of the gradients and H of the hessians of its sides. The bins of an unordered column are
    sorted by the value that they would predict, which makes the best subset a cut (Fisher 1958);
    with several outputs, by the value of the output that differs most between the bins.
    """
    n, width = bins.shape
    outputs = gradient.shape[1]
    gradients = [np.repeat(part, width) for part in gradient.T]
    hessians = None if hessian is None else np.repeat(hessian, width)
    node = np.zeros(n, np.int64)
    flat = bins + np.arange(width) * size
    columns, left = [], []
    for level in range(depth):
        nodes = 2**level
        shape = nodes, width, size
        cell = (flat + node[:, None] * width * size).ravel()
        g = np.stack([_sums(cell, weights, shape) for weights in gradients])  # (K, *shape)
        count = _sums(cell, None, shape)
        h = count.copy() if hessians is None else _sums(cell, hessians, shape)
        order = np.broadcast_to(np.arange(size), shape).copy()
        if unordered.any():
            order[:, unordered] = _order_of_categories(g[:, :, unordered], h[:, unordered])
            g[:, :, unordered] = np.take_along_axis(
                g[:, :, unordered], order[None, :, unordered], axis=3
            )
            h[:, unordered], count[:, unordered] = (
                np.take_along_axis(s[:, unordered], order[:, unordered], axis=2) for s in (h, count)
            )
        g, h, count = g.cumsum(3), h.cumsum(2), count.cumsum(2)
        gain = (
            g**2 / (h + L2_REGULARIZATION)
            + (g[..., -1:] - g) ** 2 / (h[..., -1:] - h + L2_REGULARIZATION)
        ).sum(0)
        gain[(count < MIN_LEAF_ROWS) | (count[..., -1:] - count < MIN_LEAF_ROWS)] = -np.inf
        best = gain.reshape(nodes, -1).argmax(1)
        column, cut = np.divmod(best, size)
        rank = np.argsort(order[np.arange(nodes), column], axis=1)
        go_left = rank <= cut[:, None]
        go_left[~np.isfinite(gain.reshape(nodes, -1)[np.arange(nodes), best])] = True
        columns.append(column)
        left.append(go_left)
        node = 2 * node + ~go_left[node, bins[np.arange(n), column[node]]]
    leaf_gradient = np.stack(
        [np.bincount(node, gradient[:, k], minlength=2**depth) for k in range(outputs)], axis=1
    )
    leaf_hessian = np.bincount(node, hessian, minlength=2**depth)[:, None]
    return _Tree(columns, left, -LEARNING_RATE * leaf_gradient / (leaf_hessian + L2_REGULARIZATION))


def _sums(cell: Bins, weights: Floats | None, shape: tuple[int, int, int]) -> Floats:
    """Return the sums of the weights of each cell; without weights, the counts."""
    sums = np.bincount(cell, weights, minlength=math.prod(shape))
    return sums.reshape(shape).astype(np.float64, copy=False)


def _order_of_categories(g: Floats, h: Floats) -> NDArray[np.int64]:
    """Return the (nodes, W, bins) bins in the order of the cuts, given (K, nodes, W, bins) sums."""
    prediction = -g / (h + L2_REGULARIZATION)
    if len(g) > 1:
        spread = (g * prediction).sum(3)  # (K, nodes, W), negative
        chosen = spread.argmin(0)[None, ..., None]
        prediction = np.take_along_axis(prediction, chosen, axis=0)
    return np.argsort(prediction[0], axis=2)


def _bin_count(*parts: Bins) -> int:
    return 1 + max(int(part.max()) for part in parts)


def regress(
    bins: Bins,
    unordered: NDArray[np.bool_],
    y: Floats,
    test_bins: Bins,
    *,
    trees: int | None = None,
    depth: int = DEPTH,
) -> Floats:
    """Fit (N, K) numbers by squared error, and return the (M, K) predictions for the (M, W) rows.

    `bins` are (N, W) small integers. `unordered` (W,) marks columns whose bins have no order. The K
    outputs share `trees` trees (default: TREES) with a value for each output in a leaf (Zhang &
    Jung 2020, 1909.04373).
    """
    size = _bin_count(bins, test_bins)
    fitted, predicted = (np.tile(y.mean(0), (len(rows), 1)) for rows in (bins, test_bins))
    for _ in range(trees or TREES):
        tree = _grow(bins, size, unordered, fitted - y, None, depth)
        fitted += tree(bins)
        predicted += tree(test_bins)
    return predicted


def classify(
    bins: Bins, unordered: NDArray[np.bool_], y: NDArray[np.int64], classes: int, test_bins: Bins
) -> Floats:
    """Fit (N,) labels, and return (M, classes) probabilities for the (M, W) test rows.

    More than two classes are fitted one versus the rest, and many of them with fewer trees each.
    """
    if classes == 2:
        probability = _fit_binary(bins, unordered, y == 1, test_bins, TREES)
        return np.stack([1 - probability, probability], 1)
    trees = min(TREES, max(MIN_TREES, MAX_TREES_OF_CLASSES // classes))
    scores = np.stack(
        [_fit_binary(bins, unordered, y == k, test_bins, trees) for k in range(classes)], 1
    )
    return np.asarray(scores / scores.sum(1, keepdims=True), np.float64)


def _fit_binary(
    bins: Bins, unordered: NDArray[np.bool_], y: NDArray[np.bool_], test_bins: Bins, trees: int
) -> Floats:
    size = _bin_count(bins, test_bins)
    log_odds = np.log((y.sum() + 0.5) / ((~y).sum() + 0.5))
    fitted, predicted = np.full(len(y), log_odds), np.full(len(test_bins), log_odds)
    for _ in range(trees):
        probability = 1 / (1 + np.exp(-fitted))
        hessian = probability * (1 - probability)
        tree = _grow(bins, size, unordered, (probability - y)[:, None], hessian, DEPTH)
        fitted += tree(bins)[:, 0]
        predicted += tree(test_bins)[:, 0]
    return np.asarray(1 / (1 + np.exp(-predicted)), np.float64)
