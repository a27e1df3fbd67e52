"""Statistics and plot data that compare real and synthetic items. Free of torch."""

import math
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bins = NDArray[np.int64]

STATISTICS = ("count", "missing", "mean", "std", "min", "q25", "median", "q75", "max")
HISTOGRAM_BINS = 24
TAIL_FRACTION = 0.005  # share of the real values, on each side, that falls into the outermost bins
MAX_SCATTER_POINTS = 400  # per set
MAX_UNSCALED = 1e100  # larger values are scaled, so that the squares of floats do not overflow


def describe(values: Floats) -> dict[str, Any]:
    """Return the STATISTICS of (N,) numbers. NaN is missing.

    If all numbers are missing, only `count` and `missing` are returned.
    """
    present = values[~np.isnan(values)]
    counts = [len(present), len(values) - len(present)]
    if not len(present):
        return dict(zip(STATISTICS, counts, strict=False))
    unit = power_of_two_scale(present)
    present = present / unit
    quantiles = np.quantile(present, [0, 0.25, 0.5, 0.75, 1])
    figures = [float(unit * value) for value in (present.mean(), present.std(), *quantiles)]
    return dict(zip(STATISTICS, [*counts, *figures], strict=True))


def power_of_two_scale(values: Floats) -> float:
    """Return a divisor with which sums of squares do not overflow: 1 unless the values are huge.

    It is a power of two, so that the division is exact.
    """
    largest = float(np.abs(values).max(initial=0.0))
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > MAX_UNSCALED else 1.0


def histogram(real: Floats, synthetic: Floats) -> dict[str, list[float]] | None:
    """Return the shares of both sets in bins of equal width.

    The result is None if a set is empty or the real values do not vary.
    """
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
    """Return the association of each pair of binned columns, from 0 (independent) to 1.

    The measure is Cramér's V with bias correction (Bergsma 2013).
    """
    matrix = np.eye(len(columns))
    for (i, a), (j, b) in combinations(enumerate(columns.values()), 2):
        matrix[i, j] = matrix[j, i] = _cramers_v(a, b)
    return matrix.round(3).tolist()


def _cramers_v(a: Bins, b: Bins) -> float:
    n, width = len(a), int(b.max()) + 1
    counts = np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width)
    table = counts.reshape(-1, width).astype(np.float64)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    rows, columns = table.shape
    # phi^2 = chi^2 / n, minus its expectation for independent columns.
    phi2 = (np.square(table - expected) / expected).sum() / n - (rows - 1) * (columns - 1) / (n - 1)
    max_phi2 = min(size - (size - 1) ** 2 / (n - 1) for size in table.shape) - 1
    return float(np.clip(phi2 / max_phi2, 0, 1) ** 0.5) if max_phi2 > 0 else 0.0


def pca_2d(real: Floats, synthetic: Floats) -> dict[str, Any]:
    """Project the first (N, F) and (M, F) items on two principal components of the real ones.

    The result also has the share of the variance that the two components explain (Pearson 1901).
    """
    center = real.mean(0)
    _, spread, directions = np.linalg.svd(real - center, full_matrices=False)
    explained = np.square(spread[:2]).sum() / max(np.square(spread).sum(), 1e-12)
    points = [
        ((side[:MAX_SCATTER_POINTS] - center) @ directions[:2].T).round(3)
        for side in (real, synthetic)
    ]
    return {
        "explained_variance_ratio": float(explained),
        "real": points[0].tolist(),
        "synthetic": points[1].tolist(),
    }
