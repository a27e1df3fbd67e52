"""What networks are made of: layer by layer, with the shapes of their weights and outputs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


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
