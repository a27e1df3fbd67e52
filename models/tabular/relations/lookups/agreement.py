"""Agreement of the rows of a value on the value of another column.

Several rows of one thing, such as the visits of a patient, have the same values of columns that are
independent, so nothing seems to be new. Frequent values are those of several things: if one column
does not determine the other, their rows disagree.

Source: Fleiss 1971, "Measuring nominal scale agreement among many raters": kappa.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

FREQUENT_VALUES = 0.1  # of the values of several rows
MIN_KAPPA = 0.7  # of columns of which one nearly determines the other


def kappa_of_frequent_values(a: Ints, b: Ints, counts: Ints) -> float:
    """Return the agreement of the rows of the most frequent values of a column, above chance.

    Two columns have the (P,) different pairs of the values `a` and `b`, from 0 on, in (P,) `counts`
    of rows. 1 means that each of these values has a single partner, and 0 that its partners are
    those of random rows. It is 0 if no value has several rows, or the second column a single value.
    """
    rows = np.bincount(a, counts).astype(np.int64)
    shares = np.bincount(b, counts) / max(counts.sum(), 1)
    by_chance = float(np.square(shares).sum())
    is_repeated = rows > 1
    if not is_repeated.any() or by_chance >= 1:
        return 0.0
    agreeing = np.bincount(a, counts * (counts - 1.0))[is_repeated]
    repeated = rows[is_repeated]
    most_first = np.argsort(-repeated, kind="stable")
    frequent = most_first[: max(1, round(FREQUENT_VALUES * len(most_first)))]
    agreement = agreeing[frequent] / (repeated * (repeated - 1.0))[frequent]
    return (float(agreement.mean()) - by_chance) / (1 - by_chance)
