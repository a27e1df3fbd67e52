"""How far two sets of features are apart."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models.measures.scores import Measured

MOST, PARTS = 4_000, 8


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


def with_error(
    distance: Callable[[Tensor, Tensor], float],
    real: Tensor,
    fake: Tensor,
    go_on: Callable[[], None],
) -> Measured:
    """A distance that has no bias, of the first MOST, and how far off it may be by how much it
    differs over parts: generous where both sides are alike, as a part is less sure of that than its
    share of the whole. Each side has at least 16 items, in no order."""
    real, fake = real[:MOST], fake[:MOST]
    size = min(len(real), len(fake)) // PARTS
    found = []
    for part in range(PARTS):
        go_on()
        items = slice(part * size, (part + 1) * size)
        found.append(distance(real[items], fake[items]))
    return Measured(distance(real, fake), Measured.of_each(np.array(found)).error)
