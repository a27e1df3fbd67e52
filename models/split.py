"""Which items are kept apart for measuring. Free of torch: the API counts with it."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
UNLABELED = -1  # the label of an image without one


def stratified_split(
    labels: NDArray[np.int32], holdout_fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """Places to learn from, and those held out: a share of each label, at least one item where it
    has two. What has no label is in neither."""
    rng = np.random.default_rng(seed)
    kept: list[Indices] = []
    for label in np.unique(labels[labels != UNLABELED]):
        mine = np.flatnonzero(labels == label)
        n = min(round(holdout_fraction * len(mine)) or int(holdout_fraction > 0), len(mine) - 1)
        kept.append(rng.permutation(mine)[:n])
    apart = np.sort(np.concatenate(kept))
    return np.setdiff1d(np.flatnonzero(labels != UNLABELED), apart), apart


def random_split(count: int, holdout_fraction: float, seed: int) -> tuple[Indices, Indices]:
    """The same whatever the labels; at least one item is left to learn from."""
    order = np.random.default_rng(seed).permutation(count)
    n = min(round(holdout_fraction * count), count - 1)
    return np.sort(order[n:]), np.sort(order[:n])


def holdout_split(
    modality: str, labels: NDArray[np.int32], holdout_fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """As the training of this kind of data keeps them apart."""
    if modality == "image":
        return stratified_split(labels, holdout_fraction, seed)
    return random_split(len(labels), holdout_fraction, seed)
