"""Naive baselines: samples that anyone could generate without a network.

A model that does not score better than these has learned nothing.
"""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_IMAGES_PER_LABEL = 500
COMPONENTS = 64  # principal components of the pixels


def sample_gaussians(images: Tensor, labels: Tensor, target_labels: Tensor, seed: int) -> Tensor:
    """Return (M, C, H, W) images of the (M,) target labels.

    Each image is drawn from a Gaussian that is fitted to the pixels, in [-1, 1], of that label's
    images. The Gaussian is limited to the first COMPONENTS principal components.
    """
    generator = torch.Generator().manual_seed(seed)
    out = torch.empty((len(target_labels), *images.shape[1:]))
    for label in target_labels.unique():
        label_images = images[labels == label][:MAX_IMAGES_PER_LABEL].flatten(1)
        targets = torch.nonzero(target_labels == label)[:, 0]
        center = label_images.mean(0)
        _, spread, directions = torch.linalg.svd(label_images - center, full_matrices=False)
        k = min(COMPONENTS, len(spread))
        z = torch.randn(len(targets), k, generator=generator)
        synthetic = z * spread[:k] / max(1, len(label_images) - 1) ** 0.5 @ directions[:k] + center
        out[targets] = synthetic.clamp(-1, 1).view(-1, *images.shape[1:])
    return out


Number = TypeVar("Number", bound=np.generic)


def sample_independent(
    columns: dict[str, NDArray[Number]], count: int, seed: int
) -> dict[str, NDArray[Number]]:
    """Draw rows whose columns are independent: each column is resampled separately."""
    rng = np.random.default_rng(seed)
    return {name: rng.choice(values, count) for name, values in columns.items()}
