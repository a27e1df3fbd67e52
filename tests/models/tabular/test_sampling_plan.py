"""Row counts per condition, and the index ranges of the rows."""

from dataclasses import replace

import pytest

from models.tabular.sampling_plan import (
    apportion,
    plan_partial_rows,
    plan_per_condition,
    plan_total,
)


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


def test_each_condition_starts_at_the_offset_and_zero_counts_are_skipped() -> None:
    plan = plan_per_condition([({"a": 1}, 3), ({"a": 2}, 0), ({"a": 3}, 2)], seed=1, offset=5)
    assert [
        (index_range.conditions, index_range.start, index_range.stop) for index_range in plan.ranges
    ] == [
        (({"a": 1},), 5, 8),
        (({"a": 3},), 5, 7),
    ]
    assert plan.count == 5


def test_a_part_of_a_plan_has_its_options_and_its_partial_rows() -> None:
    part = plan_partial_rows([{"a": 1}, {"a": 2}, {"a": 3}], seed=1, offset=5).slice(1, 3)
    assert part.partial_rows == ({"a": 2}, {"a": 3})
    assert [(each.start, each.stop) for each in part.ranges] == [(6, 8)]
    plan = replace(plan_total(4, [{}], seed=1, offset=0), exclude_training_rows=True)
    assert plan.slice(0, 2).exclude_training_rows


def test_chunks_cover_all_indices_once() -> None:
    (index_range,) = plan_total(10, [{}], seed=1, offset=3).ranges
    assert [chunk.tolist() for chunk in index_range.iter_chunks(4)] == [
        [3, 4, 5, 6],
        [7, 8, 9, 10],
        [11, 12],
    ]
