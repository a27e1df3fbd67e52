"""How far two sets of features are apart."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.metrics.scores import Z95, Estimate, Floats
from models.training_callbacks import CheckStop

MAX_KERNEL_ITEMS, JACKKNIFE_FOLDS = 4_000, 10


def frechet_distance(real: Tensor, fake: Tensor) -> float:
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


def kernel_distance(real: Tensor, fake: Tensor, check_stop: CheckStop) -> Estimate:
    """The squared maximum mean discrepancy of the first MOST under a cubic kernel, without bias
    (Binkowski et al. 2018, 1801.01401); 0 is none, and chance may bring it below. How far off it
    may be is what leaving out one part of both after the other changes (the jackknife, Quenouille
    1956, Tukey 1958). Each side has at least 2 * PARTS items, in no order."""
    sides = [side[:MAX_KERNEL_ITEMS].double() for side in (real, fake)]
    parts = [side.tensor_split(JACKKNIFE_FOLDS) for side in sides]

    def sums(one: int, other: int) -> Floats:
        """(PARTS, PARTS): over pairs of items, but for an item with itself."""
        found = np.empty((JACKKNIFE_FOLDS, JACKKNIFE_FOLDS))
        for i, some in enumerate(parts[one]):
            check_stop()
            similar = (some @ sides[other].T / some.shape[1] + 1) ** 3
            blocks = similar.tensor_split(JACKKNIFE_FOLDS, dim=1)
            found[i] = [float(block.sum()) for block in blocks]
            if one == other:
                found[i, i] -= float(blocks[i].trace())
        return found

    own, others, across = sums(0, 0), sums(1, 1), sums(0, 1)
    counts = np.array([[len(part) for part in side] for side in parts])

    def without(keep: NDArray[np.bool_]) -> float:
        n, m = counts[:, keep].sum(1)
        pairs = np.ix_(keep, keep)
        within = own[pairs].sum() / (n * (n - 1)) + others[pairs].sum() / (m * (m - 1))
        return float(within - 2 * across[pairs].sum() / (n * m))

    left_out = np.array(
        [without(np.arange(JACKKNIFE_FOLDS) != part) for part in range(JACKKNIFE_FOLDS)]
    )
    spread = (JACKKNIFE_FOLDS - 1) * left_out.var()
    return Estimate(without(np.ones(JACKKNIFE_FOLDS, bool)), Z95 * float(spread) ** 0.5)
