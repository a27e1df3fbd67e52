"""Two sets of items side by side, in figures and outlines for people to look at. Free of torch."""

import math
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bins = NDArray[np.int64]

STATISTICS = ("count", "missing", "mean", "std", "min", "q25", "median", "q75", "max")
HISTOGRAM_BINS = 24  # of a histogram
TAIL_FRACTION = 0.005  # of the real values, on each side, share a bar with what is beyond them
MAX_SCATTER_POINTS = 400  # of each set
MAX_UNSCALED = 1e100


def describe(values: Floats) -> dict[str, Any]:
    """FIGURES of (N,) numbers; NaN is missing, and of nothing but missing ones there are two."""
    known = values[~np.isnan(values)]
    counted = [len(known), len(values) - len(known)]
    if not len(known):
        return dict(zip(STATISTICS, counted, strict=False))
    unit = power_of_two_scale(known)
    known = known / unit
    quarters = np.quantile(known, [0, 0.25, 0.5, 0.75, 1])
    told = [float(unit * value) for value in (known.mean(), known.std(), *quarters)]
    return dict(zip(STATISTICS, [*counted, *told], strict=True))


def power_of_two_scale(values: Floats) -> float:
    """What large numbers are to be divided by, so that sums of their squares are numbers, too. A
    power of two, which changes no digit; 1 for those that are usual."""
    largest = float(np.abs(values).max(initial=0.0))
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > MAX_UNSCALED else 1.0


def histogram(real: Floats, synthetic: Floats) -> dict[str, list[float]] | None:
    """Shares of both in bars of one width; None where there is nothing to see."""
    real, synthetic = (side[~np.isnan(side)] for side in (real, synthetic))
    if not len(real) or not len(synthetic):
        return None
    unit = power_of_two_scale(real)
    real, synthetic = real / unit, synthetic / unit
    low, high = np.quantile(real, [TAIL_FRACTION, 1 - TAIL_FRACTION])
    if low == high:
        return None
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    shares = [
        np.histogram(side.clip(low, high), edges)[0] / len(side) for side in (real, synthetic)
    ]
    names = ("edges", "real", "synthetic")
    return {n: v.tolist() for n, v in zip(names, (unit * edges, *shares), strict=True)}


def cramers_v_matrix(columns: dict[str, Bins]) -> list[list[float]]:
    """For each two columns of small numbers, from 0 (independent) to 1: Cramér's V without its bias
    (Bergsma 2013)."""
    found = np.eye(len(columns))
    for (i, one), (j, other) in combinations(enumerate(columns.values()), 2):
        found[i, j] = found[j, i] = _cramers_v(one, other)
    return found.round(3).tolist()


def _cramers_v(one: Bins, other: Bins) -> float:
    n, width = len(one), int(other.max()) + 1
    counts = np.bincount(one * width + other, minlength=(int(one.max()) + 1) * width)
    table = counts.reshape(-1, width).astype(np.float64)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    due = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    rows, names = table.shape
    strength = (np.square(table - due) / due).sum() / n - (rows - 1) * (names - 1) / (n - 1)
    most = min(size - (size - 1) ** 2 / (n - 1) for size in table.shape) - 1
    return float(np.clip(strength / most, 0, 1) ** 0.5) if most > 0 else 0.0


def pca_2d(real: Floats, synthetic: Floats) -> dict[str, Any]:
    """The first of (N, F) and (M, F) items on the two main directions of the real ones (Pearson
    1901), and how much of the variance these have."""
    centre = real.mean(0)
    _, spread, directions = np.linalg.svd(real - centre, full_matrices=False)
    explained = np.square(spread[:2]).sum() / max(np.square(spread).sum(), 1e-12)
    dots = [
        ((side[:MAX_SCATTER_POINTS] - centre) @ directions[:2].T).round(3)
        for side in (real, synthetic)
    ]
    return {
        "explained_variance_ratio": float(explained),
        "real": dots[0].tolist(),
        "synthetic": dots[1].tolist(),
    }
