"""What networks are made of: layer by layer, with the shapes of their weights and outputs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.checkpoint import unpack
from models.generator import draw_once, load
from models.images.sampling import ImageSampler
from models.tables import mlp
from models.tables.encoding import Encoding
from models.tables.networks import critic_of, generator_of
from models.tables.settings import TableSettings


@dataclass
class Layer:
    name: str
    kind: str
    weights: dict[str, list[int]]  # shapes of its own parameters
    parameters: int
    output: list[int] | None = None  # of one batch


@dataclass
class Part:
    """One network."""

    name: str
    layers: list[Layer] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)


def architecture(path: Path) -> list[Part]:
    """The networks that draw. Raises UnreadableCheckpoint."""
    tensors, header = unpack(path)
    generator = load(path)
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


def describe(
    networks: Mapping[str, nn.Module], draw: Callable[[], object] | None = None
) -> list[Part]:
    """Every layer that has parameters of its own or nothing below it, in the order of the code.
    `draw` uses the networks once, to see the shapes of what passes."""
    parts = []
    with watched(networks) as outputs:
        if draw is not None:
            draw()
    for name, network in networks.items():
        part = Part(name)
        for path, module in network.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if own or (path and not any(module.children())):
                part.layers.append(
                    Layer(
                        path or name,
                        type(module).__name__,
                        {n: list(weight.shape) for n, weight in own.items()},
                        sum(weight.numel() for weight in own.values()),
                        outputs.get(module),
                    )
                )
        parts.append(part)
    return parts


@contextmanager
def watched(networks: Mapping[str, nn.Module]) -> Iterator[dict[nn.Module, list[int]]]:
    seen: dict[nn.Module, list[int]] = {}

    def look(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen[module] = list(output.shape)

    hooks = [m.register_forward_hook(look) for n in networks.values() for m in n.modules()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
