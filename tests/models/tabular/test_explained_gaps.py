"""Missing values that another column explains."""

import numpy as np
from numpy.typing import NDArray

from models.tabular.autoregressive.explained_gaps import find_explained_gaps


def counts_of(present: list[int], missing: list[int]) -> NDArray[np.int64]:
    """Return the counts of tokens next to one value, and next to a missing one."""
    return np.stack([present, missing], axis=1)


def test_rare_tokens_that_are_all_alike_are_sure_together() -> None:
    may_meet = find_explained_gaps(counts_of([0, *[1] * 12], [300, *[0] * 12]), 1, 50)
    assert may_meet is not None
    np.testing.assert_array_equal(may_meet, [[False, True], *[[True, False]] * 12])


def test_rare_tokens_that_differ_may_meet_both() -> None:
    may_meet = find_explained_gaps(counts_of([100, 0, 1, 0], [0, 100, 0, 1]), 1, 50)
    assert may_meet is not None
    expected = [[True, False], [False, True], [True, True], [True, True]]
    np.testing.assert_array_equal(may_meet, expected)


def test_an_exception_or_too_few_rows_explain_nothing() -> None:
    assert find_explained_gaps(counts_of([100, 1], [0, 100]), 1, 50) is None
    assert find_explained_gaps(counts_of([300, 0], [0, 1]), 1, 50) is None
    assert find_explained_gaps(counts_of([*[1] * 50], [*[0] * 49, 1]), 1, 50) is None
    assert find_explained_gaps(counts_of([100, 100], [0, 0]), 1, 50) is None
