"""Equivalent number of real items, extrapolated from the learning curve."""

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
MAX_EXTRA_RATIO = 9.0  # times the real items; the curve is not extrapolated further

Floats = NDArray[np.float64]


def equivalent_real_items(
    done: Sequence[TrainingResult], rounds: int, truth: NDArray[np.int64], seed: int
) -> dict[str, Any]:
    """Return how many additional real items would lower the error as much as each synthetic set.

    The additional items have the same label distribution as the real ones. The error follows a
    power law in the number of items (Cortes et al. 1993; Hestness et al. 2017, 1712.00409), whose
    exponent is fitted to training runs on subsets of the real items and on all of them. The 95 %
    interval is a bootstrap over rounds and held-out items. None means beyond MAX_EXTRA_RATIO, or
    that the error does not fall with more items.
    """
    results = [result for result in done if result.round < rounds]
    real = next(result.items for result in results if result.variant == "real")
    rng = np.random.default_rng(seed)
    resamples = [_resample(rounds, truth, rng) for _ in range(BOOTSTRAP_ROUNDS)]
    points = [result for result in results if result.variant in (SUBSET_VARIANT, "real")]
    variants = [
        variant
        for variant in SYNTHETIC_VARIANTS
        if any(result.variant == variant for result in results)
    ]
    all_rounds, equal_weights = np.arange(rounds), np.ones(len(truth))
    return {
        "exponent": _exponent(points, truth, all_rounds, equal_weights),
        "trainings": len(points),
        "points": [
            {
                "items": n,
                "value": float(
                    np.mean([balanced_accuracy(result.correct, truth) for result in same_size])
                ),
            }
            for n, same_size in sorted(_by_size(points).items())
        ],
        **{
            variant: _to_counts(
                real,
                _extra_items(results, variant, truth, all_rounds, equal_weights),
                np.array(
                    [_extra_items(results, variant, truth, *resample) for resample in resamples]
                ),
            )
            for variant in variants
        },
    }


def _by_size(points: Sequence[TrainingResult]) -> dict[int, list[TrainingResult]]:
    by_size: dict[int, list[TrainingResult]] = {}
    for result in points:
        by_size.setdefault(result.items, []).append(result)
    return by_size


def _to_counts(real: int, extra: float, resampled: Floats) -> dict[str, Any]:
    """Convert fractions of the real items to numbers of items."""
    low, high = None, None
    if not np.isnan(resampled).any():
        low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "equivalent_real_items": _to_count(extra, real),
        "ci95": [_to_count(low, real), _to_count(high, real)],
    }


def _to_count(fraction: float | None, real: int) -> int | None:
    return (
        None
        if fraction is None or np.isnan(fraction) or fraction >= MAX_EXTRA_RATIO
        else round(fraction * real)
    )


def _resample(
    rounds: int, truth: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], Floats]:
    """Return a bootstrap sample: (R,) rounds, and the (M,) multiplicity of each held-out item.

    Items are resampled within their label.
    """
    weights = np.zeros(len(truth))
    for label in np.unique(truth):
        label_indices = np.flatnonzero(truth == label)
        weights[label_indices] = rng.multinomial(
            len(label_indices), np.full(len(label_indices), 1 / len(label_indices))
        )
    return rng.integers(rounds, size=rounds), weights


def _errors(results: Sequence[TrainingResult], truth: NDArray[np.int64], weights: Floats) -> Floats:
    """Return the (T,) balanced errors of T training runs.

    They are at least half an error, because the logarithm of 0 is not finite.
    """
    hits = np.stack([result.correct for result in results]).astype(np.float64)
    per_label = []
    for label in np.unique(truth):
        label_mask = truth == label
        per_label.append(hits[:, label_mask] @ weights[label_mask] / weights[label_mask].sum())
    return np.maximum(1 - np.mean(per_label, axis=0), 0.5 / len(truth))


def _exponent(
    points: Sequence[TrainingResult],
    truth: NDArray[np.int64],
    rounds: NDArray[np.int64],
    weights: Floats,
) -> float:
    """Return the exponent b of error = a * items**-b.

    Least squares of log error on log items; each training run is weighted by how often its
    round was drawn.
    """
    round_counts = np.bincount(rounds, minlength=max(point.round for point in points) + 1)
    point_weights = np.array([round_counts[point.round] for point in points], np.float64)
    x = np.log([point.items for point in points])
    y = np.log(_errors(points, truth, weights))
    x, y = x - np.average(x, weights=point_weights), y - np.average(y, weights=point_weights)
    return float(-(point_weights * x * y).sum() / (point_weights * x * x).sum())


def _extra_items(
    results: Sequence[TrainingResult],
    variant: str,
    truth: NDArray[np.int64],
    rounds: NDArray[np.int64],
    weights: Floats,
) -> float:
    """Return additional real items as a fraction; NaN if the error does not fall with items."""
    exponent = _exponent(
        [result for result in results if result.variant in (SUBSET_VARIANT, "real")],
        truth,
        rounds,
        weights,
    )
    if exponent <= 0:
        return float("nan")
    real, synthetic = (
        _errors([result for result in results if result.variant == name], truth, weights)[
            rounds
        ].mean()
        for name in ("real", variant)
    )
    return float(min(MAX_EXTRA_RATIO, np.expm1(min(50.0, np.log(real / synthetic) / exponent))))
