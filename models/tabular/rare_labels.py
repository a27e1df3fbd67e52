"""Repetition of the rows of rare labels in training.

A label of few rows would have too few gradients for its rows to differ from the others. Its rows
are repeated in each epoch, but not in proportion to its rarity: all rows share most of what there
is to learn, and a row that is seen too often is memorized.
"""

import numpy as np
from numpy.typing import NDArray

COMMON_SHARE = 0.1  # labels of at least this share of the rows are not repeated
EXPONENT = 0.5  # of the ratio of COMMON_SHARE to the share of a rarer label
MIN_LABEL_ROWS = 10  # a label of fewer rows is repeated as often as one of that many


def visits_per_epoch(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean number of visits of each row in an epoch, given the (N,) labels."""
    counts = np.maximum(np.bincount(labels), MIN_LABEL_ROWS)[labels]
    return np.maximum(1.0, (COMMON_SHARE * len(labels) / counts) ** EXPONENT)
