"""Loader of trained samplers of any modality."""

from collections.abc import Callable
from pathlib import Path

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
