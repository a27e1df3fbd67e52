"""A figure and its interval."""

import math

import numpy as np
import pytest

from models.metrics.scores import RANGES, Estimate, bootstrap, create_score


@pytest.mark.parametrize(("counted", "of"), [(0, 24), (24, 24), (0, 1_000), (3, 1_000), (12, 24)])
def test_the_interval_of_a_share_is_one_of_shares_and_never_without_width(
    counted: int, of: int
) -> None:
    found = create_score(
        "coverage", Estimate.from_items(np.repeat([1.0, 0.0], [counted, of - counted])), "higher"
    )
    low, high = found.ci95
    assert 0 <= low <= found.value <= high <= 1
    assert high - low > 1 / of


def test_nineteen_of_twenty_intervals_of_a_share_near_all_hold_what_is_true() -> None:
    rng = np.random.default_rng(0)
    truth, held = 0.97, 0
    for _ in range(1_000):
        low, high = Estimate.from_items((rng.random(60) < truth).astype(np.float64)).ci95
        held += low <= truth <= high
    assert 0.93 < held / 1_000 < 0.99


def test_an_interval_does_not_go_beyond_what_its_score_may_be() -> None:
    for name, (least, most) in RANGES.items():
        inside = np.clip(0.01, least, most)
        low, high = create_score(name, Estimate(float(inside), 5.0), "lower").ci95
        assert least <= low <= inside <= high <= most
    assert create_score("kernel_distance", Estimate(0.0, 1.0), "lower").ci95 == (-1, 1)


def test_what_is_no_share_has_as_far_to_both_sides() -> None:
    found = Estimate.from_items(np.array([0.5, 1.0, 3.0]))
    assert found.ci95 == (found.value - found.error, found.value + found.error)
    assert not math.isclose(found.error, 0)
    assert bootstrap(lambda index: float(index.mean()), 30, 0).bounds is None
