"""Scores of how much samples reveal about single training rows."""

from functools import partial

import numpy as np
import torch

from models.metrics.membership_inference import attack_membership
from models.metrics.scores import Z95, Estimate, Score, create_score
from models.metrics.statistics import histogram
from models.metrics.tabular.distance_space import MixedDistanceSpace, MixedPoints
from models.metrics.tabular.frames import NumericFrame, sample_rows
from models.training_callbacks import CheckStop

MAX_DCR_SAMPLES = 2_000
MAX_DCR_REFERENCE_ROWS = 8_000


def score_privacy(
    real: NumericFrame,
    train: NumericFrame,
    fake: NumericFrame,
    naive_rows: NumericFrame,
    space: MixedDistanceSpace,
    rng: np.random.Generator,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """Score copies of training rows, membership inference and the uniqueness of samples.

    - `dcr_share` is the share of samples that are closer to a training row than to any of as many
      holdout rows (distance to closest record). It is 0.5 without memorization.
    - `exact_match_rate` is the share of samples that equal a training row. Its reference is the
      rate expected by chance: the rate of samples that equal a holdout row, scaled to the number of
      training rows, or the rate of holdout rows that equal a training row, if that is larger.
    """
    m = min(len(real), len(train), MAX_DCR_REFERENCE_ROWS)
    train_points, holdout_points = (space(sample_rows(part, m, rng)) for part in (train, real))
    samples = space(sample_rows(fake, MAX_DCR_REFERENCE_ROWS, rng))
    # One half of the holdout is attacked; the other half is the attacker's reference.
    n = min(len(holdout_points) // 2, MAX_DCR_SAMPLES)
    train_rows, holdout_rows = _row_set(train), _row_set(real)
    is_copy = np.array([row in train_rows for row in _row_bytes(fake)], np.float64)
    holdout_match_rate = float(np.mean([row in holdout_rows for row in _row_bytes(fake)]))
    train_holdout_rate = float(np.mean([row in train_rows for row in _row_bytes(real)]))
    expected = min(1.0, max(holdout_match_rate * len(train) / len(real), train_holdout_rate))
    unique_rate = Estimate(len(_row_set(fake)) / len(fake))
    real_sample = sample_rows(train, len(fake), rng)
    return [
        create_score(
            "dcr_share",
            _dcr_share(samples[:MAX_DCR_SAMPLES], train_points, holdout_points, check_stop),
            real_reference=0.5,
        ),
        create_score("exact_match_rate", Estimate.from_items(is_copy), real_reference=expected),
        *attack_membership(
            train_points[:n],
            holdout_points[:n],
            holdout_points[n:],
            samples,
            space(sample_rows(naive_rows, MAX_DCR_REFERENCE_ROWS, rng)),
            nearest=partial(MixedPoints.nearest_distance, check_stop=check_stop),
            seed=seed,
        ),
        create_score(
            "unique_rate",
            unique_rate,
            real_reference=len(_row_set(real_sample)) / len(real_sample),
        ),
    ]


def _dcr_share(
    samples: MixedPoints, train: MixedPoints, holdout: MixedPoints, check_stop: CheckStop
) -> Estimate:
    """Return the share of samples that are closer to `train` than to as many rows of `holdout`.

    A sample that is as close to both counts half. The error also covers which rows were held out,
    because many samples may have the same nearest row: it is the standard error of the share if
    the rows were assigned to both sides at random.
    """
    (to_train, train_index), (to_holdout, holdout_index) = (
        samples.nearest(side, check_stop) for side in (train, holdout)
    )
    is_closer = (to_train < to_holdout).double() + (to_train == to_holdout).double() / 2
    estimate = Estimate.from_items(is_closer.numpy())
    nearest_row = torch.where(to_train <= to_holdout, train_index, holdout_index + len(train))
    weights = nearest_row.bincount(minlength=len(train) + len(holdout)).double() / len(samples)
    error = Z95 * float((weights - weights.mean()).square().sum().sqrt()) / 2
    return estimate if error < estimate.error else Estimate(estimate.value, error)


def _row_bytes(frame: NumericFrame) -> list[bytes]:
    table = np.nan_to_num(np.stack(list(frame.columns.values()), 1), nan=-1e300)
    return [row.tobytes() for row in table]


def _row_set(frame: NumericFrame) -> set[bytes]:
    return set(_row_bytes(frame))


def nearest_distance_histogram(
    real: NumericFrame,
    train: NumericFrame,
    fake: NumericFrame,
    space: MixedDistanceSpace,
    rng: np.random.Generator,
    check_stop: CheckStop,
) -> dict[str, list[float]] | None:
    """Return histograms of the distance to the nearest training row, for holdout and samples."""
    train_points = space(sample_rows(train, MAX_DCR_REFERENCE_ROWS, rng))
    distances = (
        space(sample_rows(frame, MAX_DCR_SAMPLES, rng)).nearest_distance(train_points, check_stop)
        for frame in (real, fake)
    )
    return histogram(*(side.double().numpy() for side in distances))
