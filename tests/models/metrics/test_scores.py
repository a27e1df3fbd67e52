"""Scores and their confidence intervals."""

import math

import numpy as np
import pytest

from models.metrics.score_types import SCORE_TYPES
from models.metrics.scores import Estimate, bootstrap, create_score


@pytest.mark.parametrize(
    ("positives", "total"), [(0, 24), (24, 24), (0, 1_000), (3, 1_000), (12, 24)]
)
def test_the_interval_of_a_share_is_within_0_and_1_and_never_empty(
    positives: int, total: int
) -> None:
    score = create_score(
        "coverage",
        Estimate.from_items(np.repeat([1.0, 0.0], [positives, total - positives])),
    )
    low, high = score.ci95
    assert 0 <= low <= score.value <= high <= 1
    assert high - low > 1 / total


def test_95_percent_of_the_intervals_of_a_share_near_one_cover_the_true_value() -> None:
    rng = np.random.default_rng(0)
    truth, covered = 0.97, 0
    for _ in range(1_000):
        low, high = Estimate.from_items((rng.random(60) < truth).astype(np.float64)).ci95
        covered += low <= truth <= high
    assert 0.93 < covered / 1_000 < 0.99


def test_an_interval_stays_in_the_range_of_its_score() -> None:
    for name, score_type in SCORE_TYPES.items():
        minimum, maximum = score_type.minimum, score_type.maximum
        value = np.clip(0.01, minimum, maximum)
        low, high = create_score(name, Estimate(float(value), 5.0)).ci95
        assert minimum <= low <= value <= high <= maximum
    assert create_score("kernel_distance", Estimate(0.0, 1.0)).ci95 == (-1, 1)


def test_the_interval_of_an_unbounded_score_is_symmetric() -> None:
    estimate = Estimate.from_items(np.array([0.5, 1.0, 3.0]))
    assert estimate.ci95 == (estimate.value - estimate.error, estimate.value + estimate.error)
    assert not math.isclose(estimate.error, 0)
    assert bootstrap(lambda index: float(index.mean()), 30, 0).bounds is None
