"""Scores of the distributions of columns and pairs of columns."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from models.metrics.scores import Estimate, Score, bootstrap, create_score
from models.metrics.tabular.frames import Binning, Bins, Compared, Floats, NumericFrame
from models.training_callbacks import CheckStop

MAX_COLUMN_PAIRS = 200


def score_tvd(
    real: NumericFrame, compared: Compared, binning: Binning, seed: int, check_stop: CheckStop
) -> list[Score]:
    """Score the mean total variation distance of single columns and of pairs of columns."""
    names = list(real.columns)
    pairs = list(combinations(names, 2))
    order = np.random.default_rng(seed).permutation(len(pairs))[:MAX_COLUMN_PAIRS]
    groups: list[tuple[str, list[tuple[str, ...]]]] = [("marginal_tvd", [(n,) for n in names])]
    if pairs:
        groups.append(("pairwise_tvd", [pairs[i] for i in order]))
    real_bins = binning(real)
    compared_bins = [binning(frame) for frame in compared]
    return [
        _tvd_score(name, real_bins, compared_bins, column_groups, binning, seed, check_stop)
        for name, column_groups in groups
    ]


def _tvd_score(
    name: str,
    real_bins: dict[str, Bins],
    compared_bins: list[dict[str, Bins]],
    column_groups: list[tuple[str, ...]],
    binning: Binning,
    seed: int,
    check_stop: CheckStop,
) -> Score:
    real = [_joint_bins(real_bins, group, binning) for group in column_groups]
    sides = [
        [_joint_bins(bins, group, binning) for group in column_groups] for bins in compared_bins
    ]

    def distances(side: list[Bins], index: NDArray[np.int64] | None = None) -> Floats:
        check_stop()
        parts = side if index is None else [bins[index] for bins in side]
        return np.array([total_variation_distance(*pair) for pair in zip(real, parts, strict=True)])

    values = distances(sides[0])
    resampled = bootstrap(
        lambda index: float(distances(sides[0], index).mean()), len(sides[0][0]), seed
    )
    return create_score(
        name,
        Estimate(float(values.mean()), resampled.error),
        real_reference=float(distances(sides[1]).mean()),
        naive_baseline=float(distances(sides[2]).mean()),
        per_label={" and ".join(g): float(v) for g, v in zip(column_groups, values, strict=True)},
    )


def _joint_bins(bins: dict[str, Bins], group: tuple[str, ...], binning: Binning) -> Bins:
    """Combine the bins of several columns into one number per row."""
    out = np.zeros(1, np.int64)
    for name in group:
        out = out * binning.sizes[name] + bins[name]
    return out


def total_variation_distance(a: Bins, b: Bins) -> float:
    """Return half of the summed differences of the bins' shares, from 0 to 1."""
    size = int(max(a.max(), b.max())) + 1
    shares = [np.bincount(bins, minlength=size) / len(bins) for bins in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)
