"""Precision, recall, density and coverage of samples in a feature space.

Sources: Kynkaanniemi et al. 2019, 1904.06991, for precision and recall; Naeem et al. 2020,
2002.09797, for density and coverage.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBORS = 5  # radius of an item: the distance to its fifth nearest neighbor of the same set


@dataclass(frozen=True)
class ManifoldMetrics:
    """Mean values of ManifoldHits: shares in [0, 1], except for `density`.

    `density` is near 1 if both sets have the same distribution, and may be larger.
    """

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class ManifoldHits:
    """Results per item, for M fakes and N real items."""

    precise: Tensor  # (M,) the fake is within the radius of a real item
    density: Tensor  # (M,) number of real items whose radius contains the fake, / NEIGHBORS
    recalled: Tensor  # (N,) the real item is within the radius of a fake
    covered: Tensor  # (N,) the real item has a fake within its radius


def find_manifold_hits(real: Tensor, fake: Tensor) -> ManifoldHits:
    """Compare (N, F) features of held-out real items with (M, F) features of samples.

    N and M must be at least 7. The function holds N x M distances in memory.
    """
    distances = torch.cdist(real, fake)
    real_radius = _radius(real)
    inside = distances < real_radius[:, None]
    return ManifoldHits(
        precise=inside.any(0),
        density=inside.float().sum(0) / NEIGHBORS,
        recalled=(distances < _radius(fake)[None]).any(1),
        covered=distances.min(1).values < real_radius,
    )


def compute_prdc(real: Tensor, fake: Tensor) -> ManifoldMetrics:
    """Return the mean values of `find_manifold_hits`."""
    hits = find_manifold_hits(real, fake)
    return ManifoldMetrics(
        precision=_mean(hits.precise),
        recall=_mean(hits.recalled),
        density=_mean(hits.density),
        coverage=_mean(hits.covered),
    )


def _radius(features: Tensor) -> Tensor:
    """Return the distance of each item to its fifth nearest neighbor."""
    # + 1, because the nearest item of the same set is the item itself.
    return torch.cdist(features, features).kthvalue(NEIGHBORS + 1, 1).values


def _mean(values: Tensor) -> float:
    return float(values.float().mean())
