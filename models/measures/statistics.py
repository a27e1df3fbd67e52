"""Two sets of items side by side, in figures and outlines for people to look at. Free of torch."""

import math
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bins = NDArray[np.int64]

FIGURES = ("count", "missing", "mean", "std", "min", "q25", "median", "q75", "max")
BARS = 24  # of a histogram
OUTER = 0.005  # of the real values, on each side, share a bar with what is beyond them
DOTS = 400  # of each set
USUAL = 1e100


def figures(values: Floats) -> dict[str, Any]:
    """FIGURES of (N,) numbers; NaN is missing, and of nothing but missing ones there are two."""
    known = values[~np.isnan(values)]
    counted = [len(known), len(values) - len(known)]
    if not len(known):
        return dict(zip(FIGURES, counted, strict=False))
    unit = unit_of(known)
    known = known / unit
    quarters = np.quantile(known, [0, 0.25, 0.5, 0.75, 1])
    told = [float(unit * value) for value in (known.mean(), known.std(), *quarters)]
    return dict(zip(FIGURES, [*counted, *told], strict=True))


def unit_of(values: Floats) -> float:
    """What large numbers are to be divided by, so that sums of their squares are numbers, too. A
    power of two, which changes no digit; 1 for those that are usual."""
    largest = float(np.abs(values).max(initial=0.0))
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > USUAL else 1.0


def histogram(real: Floats, made: Floats) -> dict[str, list[float]] | None:
    """Shares of both in bars of one width; None where there is nothing to see."""
    real, made = (side[~np.isnan(side)] for side in (real, made))
    if not len(real) or not len(made):
        return None
    unit = unit_of(real)
    real, made = real / unit, made / unit
    low, high = np.quantile(real, [OUTER, 1 - OUTER])
    if low == high:
        return None
    edges = np.linspace(low, high, BARS + 1)
    shares = [np.histogram(side.clip(low, high), edges)[0] / len(side) for side in (real, made)]
    names = ("edges", "real", "synthetic")
    return {n: v.tolist() for n, v in zip(names, (unit * edges, *shares), strict=True)}


def associations(columns: dict[str, Bins]) -> list[list[float]]:
    """For each two columns of small numbers, from 0 (independent) to 1: Cramér's V without its bias
    (Bergsma 2013)."""
    found = np.eye(len(columns))
    for (i, one), (j, other) in combinations(enumerate(columns.values()), 2):
        found[i, j] = found[j, i] = _association(one, other)
    return found.round(3).tolist()


def _association(one: Bins, other: Bins) -> float:
    n, width = len(one), int(other.max()) + 1
    counts = np.bincount(one * width + other, minlength=(int(one.max()) + 1) * width)
    table = counts.reshape(-1, width).astype(np.float64)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    due = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    rows, names = table.shape
    strength = (np.square(table - due) / due).sum() / n - (rows - 1) * (names - 1) / (n - 1)
    most = min(size - (size - 1) ** 2 / (n - 1) for size in table.shape) - 1
    return float(np.clip(strength / most, 0, 1) ** 0.5) if most > 0 else 0.0


def plane(real: Floats, made: Floats) -> dict[str, Any]:
    """The first of (N, F) and (M, F) items on the two main directions of the real ones (Pearson
    1901), and how much of the variance these have."""
    centre = real.mean(0)
    _, spread, directions = np.linalg.svd(real - centre, full_matrices=False)
    explained = np.square(spread[:2]).sum() / max(np.square(spread).sum(), 1e-12)
    dots = [((side[:DOTS] - centre) @ directions[:2].T).round(3) for side in (real, made)]
    return {
        "explained": float(explained),
        "real": dots[0].tolist(),
        "synthetic": dots[1].tolist(),
    }
