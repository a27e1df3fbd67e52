"""Summary of a model's networks: layers with the shapes of their weights and outputs."""

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


def describe_model(path: Path) -> list[NetworkSummary]:
    """Summarize the networks that a model samples with.

    Raises:
        UnreadableCheckpoint: The file is not a readable checkpoint.
    """
    tensors, header = unpack(path)
    sampler = load_sampler(path)
    if isinstance(sampler, ImageSampler):
        parts = {field.name: getattr(sampler, field.name) for field in fields(sampler)}
        networks = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
        return describe_networks(networks, lambda: warm_up(sampler))
    tokenizer = Tokenizer.from_tensors(header["tokenizer"], tensors)
    return describe_networks(
        _tabular_networks(tokenizer, TableSettings.from_dict(header["hyperparameters"]), tensors)
    )


def _tabular_networks(
    tokenizer: Tokenizer, settings: TableSettings, tensors: Mapping[str, Tensor]
) -> dict[str, nn.Module]:
    """Build the networks in their training layout; a TableSampler rearranges the weights."""
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
