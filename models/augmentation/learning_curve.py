"""How many more real labels would do as much as the items that were made."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.augmentation.lift import (
    SUBSET_VARIANT,
    SYNTHETIC_VARIANTS,
    TrainingResult,
    balanced_accuracy,
)

BOOTSTRAP_ROUNDS = 400
MAX_EXTRA_RATIO = 9.0  # times the real items; further out the curve says nothing

Floats = NDArray[np.float64]


def equivalent_real_items(
    done: Sequence[TrainingResult], rounds: int, truth: NDArray[np.int64], seed: int
) -> dict[str, Any]:
    """For each made set, how many more real items, in the shares of those that there are, would
    lower the error as far.

    The error falls with a power of the number of items (Cortes et al. 1993; Hestness et al. 2017,
    1712.00409), whose exponent comes from trainings on parts of the real items and on all of them.
    The interval is the bootstrap's, 95 %, over rounds and over held-out items; None stands for
    beyond what the curve can say.
    """
    mine = [one for one in done if one.round < rounds]
    real = next(one.items for one in mine if one.variant == "real")
    rng = np.random.default_rng(seed)
    drawn = [_resampled(rounds, truth, rng) for _ in range(BOOTSTRAP_ROUNDS)]
    points = [one for one in mine if one.variant in (SUBSET_VARIANT, "real")]
    made = [arm for arm in SYNTHETIC_VARIANTS if any(one.variant == arm for one in mine)]
    everyone, alike = np.arange(rounds), np.ones(len(truth))
    return {
        "exponent": _exponent(points, truth, everyone, alike),
        "trainings": len(points),
        "points": [
            {
                "items": n,
                "value": float(np.mean([balanced_accuracy(o.correct, truth) for o in same])),
            }
            for n, same in sorted(_by_size(points).items())
        ],
        **{
            arm: _to_counts(
                real,
                _extra_items(mine, arm, truth, everyone, alike),
                np.array([_extra_items(mine, arm, truth, *some) for some in drawn]),
            )
            for arm in made
        },
    }


def _by_size(points: Sequence[TrainingResult]) -> dict[int, list[TrainingResult]]:
    found: dict[int, list[TrainingResult]] = {}
    for one in points:
        found.setdefault(one.items, []).append(one)
    return found


def _to_counts(real: int, extra: float, resampled: Floats) -> dict[str, Any]:
    """Shares of the real items to numbers of them."""
    low, high = (None, None)
    if not np.isnan(resampled).any():
        low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "equivalent_real_items": _to_count(extra, real),
        "ci95": [_to_count(low, real), _to_count(high, real)],
    }


def _to_count(share: float | None, real: int) -> int | None:
    return (
        None
        if share is None or np.isnan(share) or share >= MAX_EXTRA_RATIO
        else round(share * real)
    )


def _resampled(
    rounds: int, truth: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], Floats]:
    """Rounds, and how often each held-out item comes, as many of each label as there are."""
    weights = np.zeros(len(truth))
    for label in np.unique(truth):
        mine = np.flatnonzero(truth == label)
        weights[mine] = rng.multinomial(len(mine), np.full(len(mine), 1 / len(mine)))
    return rng.integers(rounds, size=rounds), weights


def _errors(trained: Sequence[TrainingResult], truth: NDArray[np.int64], weights: Floats) -> Floats:
    """(T,) balanced errors; none is nothing, as its logarithm would not be a number."""
    hits = np.stack([one.correct for one in trained]).astype(np.float64)
    each = []
    for label in np.unique(truth):
        mine = truth == label
        each.append(hits[:, mine] @ weights[mine] / weights[mine].sum())
    return np.maximum(1 - np.mean(each, axis=0), 0.5 / len(truth))


def _exponent(
    points: Sequence[TrainingResult],
    truth: NDArray[np.int64],
    rounds: NDArray[np.int64],
    weights: Floats,
) -> float:
    """The slope of the line, by least squares, through log error over log items."""
    often = np.bincount(rounds, minlength=max(one.round for one in points) + 1)
    how_often = np.array([often[one.round] for one in points], np.float64)
    x = np.log([one.items for one in points])
    y = np.log(_errors(points, truth, weights))
    x, y = x - np.average(x, weights=how_often), y - np.average(y, weights=how_often)
    return float(-(how_often * x * y).sum() / (how_often * x * x).sum())


def _extra_items(
    mine: Sequence[TrainingResult],
    variant: str,
    truth: NDArray[np.int64],
    rounds: NDArray[np.int64],
    weights: Floats,
) -> float:
    """As a share of the real items; NaN where more real items do not lower the error."""
    exponent = _exponent(
        [o for o in mine if o.variant in (SUBSET_VARIANT, "real")], truth, rounds, weights
    )
    if exponent <= 0:
        return float("nan")
    real, made = (
        _errors([o for o in mine if o.variant == name], truth, weights)[rounds].mean()
        for name in ("real", variant)
    )
    return float(min(MAX_EXTRA_RATIO, np.expm1(min(50.0, np.log(real / made) / exponent))))
