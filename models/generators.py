"""Weights as something that draws, whatever the kind of data."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from models.architecture import Part, describe
from models.checkpoint import UnreadableCheckpoint, unpack
from models.images.sampling import ImageSampler
from models.tables import mlp
from models.tables.encoding import Encoding
from models.tables.networks import critic_of, generator_of
from models.tables.sampling import RowSampler
from models.tables.settings import TableSettings

Generator = ImageSampler | RowSampler
KINDS: dict[str, Callable[[Mapping[str, Tensor], Mapping[str, Any]], Generator]] = {
    "images": ImageSampler.load,
    "rows": RowSampler.load,
}


def read(path: Path) -> Generator:
    """Raises UnreadableCheckpoint."""
    tensors, header = unpack(path)
    if header.get("kind") not in KINDS:
        raise UnreadableCheckpoint("not a model to draw from")
    return KINDS[header["kind"]](tensors, header)


def draw_once(generator: Generator) -> None:
    """One batch, thrown away."""
    if isinstance(generator, ImageSampler):
        z = np.zeros((generator.batch, generator.noise_size), np.float32)
        generator.draw(z, np.zeros(generator.batch, np.int64))
    else:
        generator.draw(0, np.zeros(1, np.int64))


def architecture(path: Path) -> list[Part]:
    """The networks that draw. Raises UnreadableCheckpoint."""
    tensors, header = unpack(path)
    generator = read(path)
    if isinstance(generator, ImageSampler):
        found = {field.name: getattr(generator, field.name) for field in fields(generator)}
        networks = {name: part for name, part in found.items() if isinstance(part, nn.Module)}
        return describe(networks, lambda: draw_once(generator))
    encoding = Encoding.of_tensors(header["encoding"], tensors)
    return describe(_row_networks(encoding, TableSettings.from_dict(header["config"]), tensors))


def _row_networks(
    encoding: Encoding, settings: TableSettings, tensors: Mapping[str, Tensor]
) -> dict[str, nn.Module]:
    """As they are trained: rows are drawn from weights that are laid out otherwise."""
    networks: dict[str, nn.Module] = {"generator": generator_of(encoding, settings)}
    if settings.architecture == "mlp":
        networks["generator"] = mlp.Generator(mlp.Parts(encoding), settings)
    if any(name.startswith("critic.") for name in tensors):
        networks["critic"] = critic_of(encoding, settings)
    return networks
