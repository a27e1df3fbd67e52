"""Missing values that another column explains: where it has some values, and nowhere else.

The last day of an employee is missing exactly where the reason says that they still work, and the
quality of a pool exactly where its area is 0. If no row is an exception, and chance would hardly
leave none, samples have no exception either. Other than structural zeros, which need many rows of
each value (`structural_zeros.py`), this is evident in tables of a few hundred rows.
"""

import numpy as np
from numpy.typing import NDArray

MIN_EVIDENCE_NATS = 7.0  # that chance does not explain it: 1 in 1,000


def find_explained_gaps(
    counts: NDArray[np.int64], missing_token: int, comparisons: int
) -> NDArray[np.bool_] | None:
    """Return the mask (K, K') of pairs of tokens that may meet, given their counts in rows.

    The `missing_token` of the second column is missing in all rows of some tokens of the first one,
    and in none of the others. The mask is None if these are mixed, or too few to tell: with
    `comparisons` of columns, chance has as many attempts. Tokens of few rows are only sure
    together, if all of them are alike: otherwise samples would repeat these rows.
    """
    missing, totals = counts[:, missing_token], counts.sum(1)
    is_missing = missing > 0
    if (is_missing & (missing < totals)).any() or not 0 < missing.sum() < totals.sum():
        return None
    share = missing.sum() / totals.sum()
    nats = totals * np.where(is_missing, -np.log(share), -np.log1p(-share))
    enough = MIN_EVIDENCE_NATS + np.log(comparisons)
    is_sure, has_rows = nats >= enough, totals > 0
    others = has_rows & ~is_sure
    if len(np.unique(is_missing[others])) == 1 and nats[others].sum() >= enough:
        is_sure |= others
    if not is_sure.any():
        return None
    may_meet = np.ones(counts.shape, bool)
    may_meet[is_sure & is_missing] = False
    may_meet[is_sure, missing_token] = is_missing[is_sure]
    return may_meet
