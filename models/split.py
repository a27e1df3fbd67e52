"""Splits: of a dataset into training and holdout items, and of a number into parts.

Free of torch, because the API uses it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
UNLABELED = -1  # label of an image that has none


def stratified_split(
    labels: NDArray[np.int32], holdout_fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """Return the sorted indices of the training and holdout items, split label by label.

    A label with at least two items keeps at least one in training, and has at least one in the
    holdout unless `holdout_fraction` is 0. Unlabeled items are in neither.
    """
    rng = np.random.default_rng(seed)
    holdout_parts: list[Indices] = []
    for label in np.unique(labels[labels != UNLABELED]):
        indices = np.flatnonzero(labels == label)
        count = min(
            round(holdout_fraction * len(indices)) or int(holdout_fraction > 0), len(indices) - 1
        )
        holdout_parts.append(rng.permutation(indices)[:count])
    holdout = np.sort(np.concatenate(holdout_parts))
    return np.setdiff1d(np.flatnonzero(labels != UNLABELED), holdout), holdout


def random_split(count: int, holdout_fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Return the sorted indices of the training and holdout items, regardless of labels.

    At least one item stays in training.
    """
    order = np.random.default_rng(seed).permutation(count)
    n = min(round(holdout_fraction * count), count - 1)
    return np.sort(order[n:]), np.sort(order[:n])


def apportion(count: int, fractions: Sequence[float]) -> list[int]:
    """Split `count` into whole numbers by `fractions`, with the largest remainder method.

    The last number is the rest that the fractions leave.
    """
    quotas = [count * fraction for fraction in [*fractions, max(0.0, 1 - sum(fractions))]]
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda i: (counts[i] - quotas[i], i))
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    return counts
