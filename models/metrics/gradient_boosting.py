"""Gradient-boosted trees over binned columns (Friedman 2001; histograms as in Ke et al. 2017,
LightGBM): what tables are best told apart and predicted with. A network would say less of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bins = NDArray[np.int64]
Floats = NDArray[np.float64]

TREES = 100
DEPTH = 5
LEARNING_RATE = 0.1
MIN_LEAF_ROWS = 20  # rows in a leaf
L2_REGULARIZATION = 1.0  # hessian that every leaf has besides its rows'


@dataclass(frozen=True)
class _Tree:
    """All levels of a full tree: at each node a column, and which of its bins go left."""

    columns: list[NDArray[np.int64]]
    left: list[NDArray[np.bool_]]
    leaves: Floats

    def __call__(self, bins: Bins) -> Floats:
        node = np.zeros(len(bins), np.int64)
        rows = np.arange(len(bins))
        for columns, left in zip(self.columns, self.left, strict=True):
            value = bins[rows, columns[node]]
            node = 2 * node + ~left[node, value]
        return self.leaves[node]


def _grow(
    bins: Bins, size: int, unordered: NDArray[np.bool_], slope: Floats, curve: Floats
) -> _Tree:
    """Level by level, each node at its best column; of an unordered column, the bins are put into
    the order of what they would predict (Fisher 1958)."""
    n, width = bins.shape
    weighted = np.repeat(slope, width), np.repeat(curve, width), None
    node = np.zeros(n, np.int64)
    flat = bins + np.arange(width) * size
    columns, left = [], []
    for level in range(DEPTH):
        nodes = 2**level
        place = (flat + node[:, None] * width * size).ravel()
        sums = [
            np.bincount(place, weights, minlength=nodes * width * size).reshape(nodes, width, size)
            for weights in weighted
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
    g = np.bincount(node, slope, minlength=2**DEPTH)
    h = np.bincount(node, curve, minlength=2**DEPTH)
    return _Tree(columns, left, -LEARNING_RATE * g / (h + L2_REGULARIZATION))


def _size(*parts: Bins) -> int:
    return 1 + max(int(part.max()) for part in parts)


def regress(bins: Bins, unordered: NDArray[np.bool_], y: Floats, test_bins: Bins) -> Floats:
    """Fitted to (N,) numbers by squared error; what it says of the (M, W) unseen rows. Bins are
    (N, W) small numbers, and which columns have no order is told."""
    centre, size = y.mean(), _size(bins, test_bins)
    fitted, said = np.full(len(y), centre), np.full(len(test_bins), centre)
    for _ in range(TREES):
        tree = _grow(bins, size, unordered, fitted - y, np.ones(len(y)))
        fitted += tree(bins)
        said += tree(test_bins)
    return said


def classify(
    bins: Bins, unordered: NDArray[np.bool_], y: NDArray[np.int64], classes: int, test_bins: Bins
) -> Floats:
    """Fitted to (N,) labels; (M, classes) chances of the (M, W) unseen rows. One label against each
    other one where there are two, each against the rest where there are more."""
    if classes == 2:
        chance = _one(bins, unordered, y == 1, test_bins)
        return np.stack([1 - chance, chance], 1)
    each = np.stack([_one(bins, unordered, y == k, test_bins) for k in range(classes)], 1)
    return np.asarray(each / each.sum(1, keepdims=True), np.float64)


def _one(bins: Bins, unordered: NDArray[np.bool_], y: NDArray[np.bool_], test_bins: Bins) -> Floats:
    size = _size(bins, test_bins)
    odds = np.log((y.sum() + 0.5) / ((~y).sum() + 0.5))
    fitted, said = np.full(len(y), odds), np.full(len(test_bins), odds)
    for _ in range(TREES):
        chance = 1 / (1 + np.exp(-fitted))
        tree = _grow(bins, size, unordered, chance - y, chance * (1 - chance))
        fitted += tree(bins)
        said += tree(test_bins)
    return np.asarray(1 / (1 + np.exp(-said)), np.float64)
