"""Interval of the share of samples that are closer to training rows."""

import numpy as np
from numpy.typing import NDArray

from models.metrics.scores import Score
from models.metrics.tabular.distance_space import MixedDistanceSpace
from models.metrics.tabular.frames import Binning, CategoryMaps, NumericFrame
from models.metrics.tabular.privacy import score_privacy

NO_CATEGORIES = CategoryMaps({})


def never_stop() -> None:
    """Go on."""


def make_rows(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(size=(count, 3)) @ rng.normal(size=(3, 6))


def dcr_share(
    train: NDArray[np.float64], holdout: NDArray[np.float64], samples: NDArray[np.float64]
) -> Score:
    train_frame, real, fake = (
        NumericFrame({str(i): column for i, column in enumerate(rows.T)})
        for rows in (train, holdout, samples)
    )
    space = MixedDistanceSpace.fit(train_frame, Binning.fit(train_frame, NO_CATEGORIES, 10))
    rng = np.random.default_rng(0)
    scores = score_privacy(real, train_frame, fake, fake, space, rng, 0, never_stop)
    return next(score for score in scores if score.name == "dcr_share")


def test_intervals_of_unseen_real_rows_contain_one_half_despite_few_holdout_rows() -> None:
    rng = np.random.default_rng(1)
    misses = 0
    for _ in range(40):
        rows = make_rows(2_330, rng)
        low, high = dcr_share(*np.split(rows, [300, 330])).ci95
        misses += not low < 0.5 < high
    assert misses <= 5  # about 2 of 40 are expected; without the rows, 27 would miss


def test_samples_near_a_single_row_say_nothing_of_the_other_rows() -> None:
    rng = np.random.default_rng(1)
    train, holdout = np.split(make_rows(200, rng), [100])
    share = dcr_share(train, holdout, np.repeat(train[:1], 500, 0))
    assert share.value == 1.0
    assert share.ci95[0] < 0.5


def test_copies_of_many_training_rows_are_clearly_closer_to_them() -> None:
    rng = np.random.default_rng(1)
    train, holdout = np.split(make_rows(200, rng), [100])
    assert dcr_share(train, holdout, np.repeat(train, 5, 0)).ci95[0] > 0.8
