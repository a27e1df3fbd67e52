"""Summary of a model's networks: layers with the shapes of their weights and outputs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass
class LayerSummary:
    name: str
    kind: str
    weights: dict[str, list[int]]  # shapes of the parameters, without those of child modules
    parameters: int
    output: list[int] | None = None  # shape of one batch; None if it was not recorded


@dataclass
class NetworkSummary:
    name: str
    layers: list[LayerSummary] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)


def describe_networks(
    networks: Mapping[str, nn.Module], run_once: Callable[[], object] | None = None
) -> list[NetworkSummary]:
    """Summarize, in definition order, every layer with its own parameters or no child modules.

    `run_once` runs the networks once, so that the shapes of their outputs are recorded.
    """
    summaries = []
    with record_output_shapes(networks) as outputs:
        if run_once is not None:
            run_once()
    for name, network in networks.items():
        summary = NetworkSummary(name)
        for path, module in network.named_modules():
            own_parameters = dict(module.named_parameters(recurse=False))
            if own_parameters or (path and not any(module.children())):
                summary.layers.append(
                    LayerSummary(
                        path or name,
                        type(module).__name__,
                        {key: list(weight.shape) for key, weight in own_parameters.items()},
                        sum(weight.numel() for weight in own_parameters.values()),
                        outputs.get(module),
                    )
                )
        summaries.append(summary)
    return summaries


@contextmanager
def record_output_shapes(networks: Mapping[str, nn.Module]) -> Iterator[dict[nn.Module, list[int]]]:
    """Record the output shape of every module that returns a tensor inside the context."""
    shapes: dict[nn.Module, list[int]] = {}

    def record(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[module] = list(output.shape)

    hooks = [
        module.register_forward_hook(record)
        for network in networks.values()
        for module in network.modules()
    ]
    try:
        yield shapes
    finally:
        for hook in hooks:
            hook.remove()
