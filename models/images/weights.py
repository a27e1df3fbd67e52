"""Weights of image networks: memory layout, optimizer and labels."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """Convert the weights to channels-last layout, which halves convolution time on a CPU."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in torch's stubs


def to_channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def adamw(
    network: nn.Module, lr: float, beta1: float, *, weight_decay: float = 0.0
) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        network.parameters(), lr, betas=(beta1, 0.99), weight_decay=weight_decay, fused=True
    )


def load_with_label_map(
    network: nn.Module, weights: Mapping[str, Tensor], label_map: Sequence[int]
) -> None:
    """Load the weights of a network that differs in its labels only.

    Row k of each embedding is copied from row `label_map[k]`. A new label (-1) gets the mean of all
    rows.
    """
    embeddings = {
        f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.Embedding)
    }
    indices = torch.tensor(label_map)
    mapped = {}
    for name, value in weights.items():
        if name in embeddings:
            rows = torch.cat([value, value.mean(0, keepdim=True)])  # index -1 selects the mean
            mapped[name] = rows[indices]
        else:
            mapped[name] = value
    network.load_state_dict(mapped)
