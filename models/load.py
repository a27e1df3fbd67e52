"""Loader of trained samplers of any modality."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.checkpoint import UnreadableCheckpoint, unpack
from models.images.sampling import ImageSampler
from models.tabular.sampling import TableSampler

AnySampler = ImageSampler | TableSampler

LOADERS: dict[str, Callable[..., AnySampler]] = {
    "image": ImageSampler.load,
    "tabular": TableSampler.load,
}


def load_sampler(path: Path) -> AnySampler:
    """Load the sampler in a checkpoint file.

    Raises:
        UnreadableCheckpoint: The file does not hold a model.
    """
    tensors, header = unpack(path)
    if header.get("modality") not in LOADERS:
        raise UnreadableCheckpoint("The checkpoint does not hold an image or tabular model.")
    return LOADERS[header["modality"]](tensors, header)


def warm_up(sampler: AnySampler) -> None:
    """Generate and discard one batch, because the first batch takes longest."""
    if isinstance(sampler, ImageSampler):
        z = np.zeros((sampler.batch_size, sampler.noise_size), np.float32)
        sampler.sample(z, np.zeros(sampler.batch_size, np.int64))
    else:
        sampler.sample(0, np.zeros(1, np.int64))
