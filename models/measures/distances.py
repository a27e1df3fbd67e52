"""How far two sets of features are apart."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models.measures.scores import Measured

PART, PARTS = 1_000, 10


def frechet(real: Tensor, fake: Tensor) -> float:
    """Between the Gaussians of (N, F) and (M, F) features (Heusel et al. 2017, 1706.08500): 0 is
    none. Few items make it larger."""
    real, fake = real.double(), fake.double()
    a, b = _covariance(real), _covariance(fake)
    values, vectors = torch.linalg.eigh(a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    means = (real.mean(0) - fake.mean(0)).square().sum()
    return float((means + a.trace() + b.trace() - 2 * cross).clamp(min=0))


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(0)
    return centred.T @ centred / max(1, len(features) - 1)


def kernel(real: Tensor, fake: Tensor) -> float:
    """The squared maximum mean discrepancy under a cubic kernel, without bias (Binkowski et al.
    2018, 1801.01401); 0 is none, and chance may bring it below."""
    n, m, size = len(real), len(fake), real.shape[1]

    def similar(a: Tensor, b: Tensor) -> Tensor:
        return (a.double() @ b.double().T / size + 1) ** 3

    own, other = similar(real, real), similar(fake, fake)
    within = (own.sum() - own.trace()) / (n * (n - 1))
    within += (other.sum() - other.trace()) / (m * (m - 1))
    return float(within - 2 * similar(real, fake).mean())


def in_parts(
    distance: Callable[[Tensor, Tensor], float],
    real: Tensor,
    fake: Tensor,
    go_on: Callable[[], None],
) -> Measured:
    """The mean over parts of both, in the order in which they come, as is usual for `kernel`: where
    the distance has no bias, small parts are right on average, and how they differ says how far off
    their mean may be. Each side has at least 20 items."""
    size = min(PART, min(len(real), len(fake)) // PARTS)
    found = []
    for one, other in zip(real.split(size), fake.split(size), strict=False):
        if min(len(one), len(other)) == size:
            go_on()
            found.append(distance(one, other))
    return Measured.of_each(np.array(found))
