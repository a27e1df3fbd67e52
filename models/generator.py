"""A trained generator of whatever kind, out of its file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.checkpoint import UnreadableCheckpoint, unpack
from models.images.sampling import ImageSampler
from models.tables.sampling import RowSampler

Generator = ImageSampler | RowSampler

KINDS: dict[str, Callable[..., Generator]] = {
    "images": ImageSampler.load,
    "rows": RowSampler.load,
}


def load(path: Path) -> Generator:
    """Raises UnreadableCheckpoint."""
    tensors, header = unpack(path)
    if header.get("kind") not in KINDS:
        raise UnreadableCheckpoint("a model of a kind that is not known here")
    return KINDS[header["kind"]](tensors, header)


def draw_once(generator: Generator) -> None:
    """One batch, thrown away: the first of all takes longest."""
    if isinstance(generator, ImageSampler):
        z = np.zeros((generator.batch, generator.noise_size), np.float32)
        generator.draw(z, np.zeros(generator.batch, np.int64))
    else:
        generator.draw(0, np.zeros(1, np.int64))
