"""Splits of a number into parts."""

import pytest

from models.split import apportion


@pytest.mark.parametrize(
    ("count", "shares", "counts"),
    [
        (10, [0.5, 0.5], [5, 5, 0]),
        (10, [0.26, 0.74], [3, 7, 0]),  # .6 against .4
        (10, [0.24, 0.76], [2, 8, 0]),
        (41, [0.5, 0.25], [21, 10, 10]),
        (7, [1 / 3, 1 / 3, 1 / 3], [3, 2, 2, 0]),
        (1, [0.1, 0.2], [0, 0, 1]),
        (0, [0.5], [0, 0]),
    ],
)
def test_the_largest_remainders_get_one_more_row(
    count: int, shares: list[float], counts: list[int]
) -> None:
    assert apportion(count, shares) == counts
    assert sum(counts) == count
