"""How the samples lie among real items, in any space of features."""

from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBORS = 5


@dataclass(frozen=True)
class ManifoldMetrics:
    """Shares in [0, 1], but `density`, which is near 1 when both are alike.

    Precision and recall: Kynkaanniemi et al. 2019, 1904.06991; density and coverage: Naeem et al.
    2020, 2002.09797.
    """

    precision: float  # of the fakes, near some real item
    recall: float  # of the real items, near some fake
    density: float
    coverage: float  # of the real items, with a fake nearer than their fifth neighbour


@dataclass(frozen=True)
class ManifoldHits:
    """Where each item lies among the others: what `Coverage` has the means of."""

    precise: Tensor  # (M,) of the fakes
    density: Tensor  # (M,)
    recalled: Tensor  # (N,) of the real items
    covered: Tensor  # (N,)


def find_manifold_hits(real: Tensor, fake: Tensor) -> ManifoldHits:
    """(N, F) features of real items that training never saw and (M, F) of samples.

    Needs memory for N x M distances. N and M are at least 7.
    """
    across = torch.cdist(real, fake)
    reach_real = _reach(real)
    inside = across < reach_real[:, None]
    return ManifoldHits(
        precise=inside.any(0),
        density=inside.float().sum(0) / NEIGHBORS,
        recalled=(across < _reach(fake)[None]).any(1),
        covered=across.min(1).values < reach_real,
    )


def compute_prdc(real: Tensor, fake: Tensor) -> ManifoldMetrics:
    """As `places`, in figures."""
    found = find_manifold_hits(real, fake)
    return ManifoldMetrics(
        precision=_share(found.precise),
        recall=_share(found.recalled),
        density=_share(found.density),
        coverage=_share(found.covered),
    )


def _reach(features: Tensor) -> Tensor:
    """Distance of each to its fifth nearest neighbour but itself."""
    return torch.cdist(features, features).kthvalue(NEIGHBORS + 1, 1).values


def _share(found: Tensor) -> float:
    return float(found.float().mean())
