"""A trained generator of whatever kind, out of its file."""

from collections.abc import Callable
from pathlib import Path

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
