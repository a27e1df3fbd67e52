"""Which items are kept apart for measuring. Free of torch: the API counts with it."""

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
UNLABELLED = -1  # the label of an image without one


def by_label(labels: NDArray[np.int32], share: float, seed: int) -> tuple[Places, Places]:
    """Places to learn from, and those held out: a share of each label, at least one item where it
    has two. What has no label is in neither."""
    rng = np.random.default_rng(seed)
    kept: list[Places] = []
    for label in np.unique(labels[labels != UNLABELLED]):
        mine = np.flatnonzero(labels == label)
        n = min(round(share * len(mine)) or int(share > 0), len(mine) - 1)
        kept.append(rng.permutation(mine)[:n])
    apart = np.sort(np.concatenate(kept))
    return np.setdiff1d(np.flatnonzero(labels != UNLABELLED), apart), apart


def of_all(count: int, share: float, seed: int) -> tuple[Places, Places]:
    """The same whatever the labels; at least one item is left to learn from."""
    order = np.random.default_rng(seed).permutation(count)
    n = min(round(share * count), count - 1)
    return np.sort(order[n:]), np.sort(order[:n])


def apart(kind: str, labels: NDArray[np.int32], share: float, seed: int) -> tuple[Places, Places]:
    """As the training of this kind of data keeps them apart."""
    if kind == "images":
        return by_label(labels, share, seed)
    return of_all(len(labels), share, seed)
