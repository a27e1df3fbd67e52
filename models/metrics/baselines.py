"""What anybody could make without a network: a model that is not better has learned nothing."""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_IMAGES_PER_LABEL = 500  # images of a label that are looked at
COMPONENTS = 64


def sample_gaussians(images: Tensor, labels: Tensor, target_labels: Tensor, seed: int) -> Tensor:
    """(M, C, H, W) images of the (M,) wanted labels, each drawn from the Gaussian of the pixels
    (the main directions of it) of that label's images in [-1, 1]."""
    numbers = torch.Generator().manual_seed(seed)
    out = torch.empty((len(target_labels), *images.shape[1:]))
    for label in target_labels.unique():
        mine = images[labels == label][:MAX_IMAGES_PER_LABEL].flatten(1)
        places = torch.nonzero(target_labels == label)[:, 0]
        centre = mine.mean(0)
        _, spread, directions = torch.linalg.svd(mine - centre, full_matrices=False)
        k = min(COMPONENTS, len(spread))
        z = torch.randn(len(places), k, generator=numbers)
        made = z * spread[:k] / max(1, len(mine) - 1) ** 0.5 @ directions[:k] + centre
        out[places] = made.clamp(-1, 1).view(-1, *images.shape[1:])
    return out


Number = TypeVar("Number", bound=np.generic)


def sample_independent(
    columns: dict[str, NDArray[Number]], count: int, seed: int
) -> dict[str, NDArray[Number]]:
    """Rows whose columns know nothing of each other: each is drawn by itself."""
    rng = np.random.default_rng(seed)
    return {name: rng.choice(values, count) for name, values in columns.items()}
