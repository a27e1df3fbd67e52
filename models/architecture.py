"""What networks are made of: layer by layer, with the shapes of their weights and outputs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.checkpoint import unpack
from models.images.sampling import ImageSampler
from models.load import load_sampler, warm_up
from models.tabular import gan_networks
from models.tabular.autoregressive_networks import build_critic, build_generator
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer


@dataclass
class LayerSummary:
    name: str
    kind: str
    weights: dict[str, list[int]]  # shapes of its own parameters
    parameters: int
    output: list[int] | None = None  # of one batch


@dataclass
class NetworkSummary:
    """One network."""

    name: str
    layers: list[LayerSummary] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)


def describe_model(path: Path) -> list[NetworkSummary]:
    """The networks that draw. Raises UnreadableCheckpoint."""
    tensors, header = unpack(path)
    generator = load_sampler(path)
    if isinstance(generator, ImageSampler):
        found = {field.name: getattr(generator, field.name) for field in fields(generator)}
        networks = {name: part for name, part in found.items() if isinstance(part, nn.Module)}
        return describe_networks(networks, lambda: warm_up(generator))
    tokenizer = Tokenizer.from_tensors(header["tokenizer"], tensors)
    return describe_networks(
        _row_networks(tokenizer, TableSettings.from_dict(header["hyperparameters"]), tensors)
    )


def _row_networks(
    tokenizer: Tokenizer, settings: TableSettings, tensors: Mapping[str, Tensor]
) -> dict[str, nn.Module]:
    """As they are trained: rows are drawn from weights that are laid out otherwise."""
    networks: dict[str, nn.Module] = {"generator": build_generator(tokenizer, settings)}
    if settings.architecture == "gan":
        networks["generator"] = gan_networks.Generator(
            gan_networks.RowFeaturizer(tokenizer), settings
        )
    if any(name.startswith("critic.") for name in tensors):
        networks["critic"] = build_critic(tokenizer, settings)
    return networks


def describe_networks(
    networks: Mapping[str, nn.Module], run_once: Callable[[], object] | None = None
) -> list[NetworkSummary]:
    """Every layer that has parameters of its own or nothing below it, in the order of the code.
    `draw` uses the networks once, to see the shapes of what passes."""
    parts = []
    with record_output_shapes(networks) as outputs:
        if run_once is not None:
            run_once()
    for name, network in networks.items():
        part = NetworkSummary(name)
        for path, module in network.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if own or (path and not any(module.children())):
                part.layers.append(
                    LayerSummary(
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
def record_output_shapes(networks: Mapping[str, nn.Module]) -> Iterator[dict[nn.Module, list[int]]]:
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
