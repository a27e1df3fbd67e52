"""Distances between two sets of features."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.metrics.scores import Z95, Estimate, Floats
from models.training_callbacks import CheckStop

MAX_KERNEL_ITEMS, JACKKNIFE_FOLDS = 4_000, 10


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Return the squared Fréchet distance between Gaussians fitted to (N, F) and (M, F) features.

    |m_a - m_b|^2 + tr(A + B - 2 (A^(1/2) B A^(1/2))^(1/2)), for means m and covariances A and B
    (Heusel et al. 2017, 1706.08500). The estimate is biased upwards for few items.
    """
    real, fake = real.double(), fake.double()
    a, b = _covariance(real), _covariance(fake)
    values, vectors = torch.linalg.eigh(a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    means = (real.mean(0) - fake.mean(0)).square().sum()
    return float((means + a.trace() + b.trace() - 2 * cross).clamp(min=0))


def _covariance(features: Tensor) -> Tensor:
    centered = features - features.mean(0)
    return centered.T @ centered / max(1, len(features) - 1)


def kernel_distance(real: Tensor, fake: Tensor, check_stop: CheckStop) -> Estimate:
    """Return the squared maximum mean discrepancy of the first MAX_KERNEL_ITEMS items (KID).

    The kernel is (x . y / F + 1)^3 and the estimate is unbiased, so it may be negative (Binkowski
    et al. 2018, 1801.01401). The error is a jackknife estimate over JACKKNIFE_FOLDS folds
    (Quenouille 1956, Tukey 1958). Each side needs at least 2 * JACKKNIFE_FOLDS items, shuffled.
    """
    sides = [side[:MAX_KERNEL_ITEMS].double() for side in (real, fake)]
    folds = [side.tensor_split(JACKKNIFE_FOLDS) for side in sides]

    def kernel_sums(a: int, b: int) -> Floats:
        """Sum the kernel per pair of folds, without the pairs of an item with itself."""
        sums = np.empty((JACKKNIFE_FOLDS, JACKKNIFE_FOLDS))
        for i, fold in enumerate(folds[a]):
            check_stop()
            kernel = (fold @ sides[b].T / fold.shape[1] + 1) ** 3
            blocks = kernel.tensor_split(JACKKNIFE_FOLDS, dim=1)
            sums[i] = [float(block.sum()) for block in blocks]
            if a == b:
                sums[i, i] -= float(blocks[i].trace())
        return sums

    within_real, within_fake, across = kernel_sums(0, 0), kernel_sums(1, 1), kernel_sums(0, 1)
    counts = np.array([[len(fold) for fold in side] for side in folds])

    def squared_mmd(keep: NDArray[np.bool_]) -> float:
        n, m = counts[:, keep].sum(1)
        pairs = np.ix_(keep, keep)
        within = within_real[pairs].sum() / (n * (n - 1)) + within_fake[pairs].sum() / (m * (m - 1))
        return float(within - 2 * across[pairs].sum() / (n * m))

    leave_one_out = np.array(
        [squared_mmd(np.arange(JACKKNIFE_FOLDS) != fold) for fold in range(JACKKNIFE_FOLDS)]
    )
    variance = (JACKKNIFE_FOLDS - 1) * leave_one_out.var()
    return Estimate(squared_mmd(np.ones(JACKKNIFE_FOLDS, bool)), Z95 * float(variance) ** 0.5)
