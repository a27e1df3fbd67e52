"""Weights of image networks: memory layout, optimizer, restoring and averaging."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

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


def restore(parts: Mapping[str, Any], tree: Mapping[str, Any]) -> None:
    """Load networks and optimizers from their state dicts.

    A checkpoint does not store memory layouts. The fused optimizer step reads parameters and
    moments in memory order, so each moment must get the layout of its parameter.
    """
    for name, part in parts.items():
        part.load_state_dict(tree[name])
        if isinstance(part, torch.optim.Optimizer):
            for parameter, moments in part.state.items():
                for key, value in moments.items():
                    if value.shape == parameter.shape:
                        moments[key] = torch.empty_like(parameter).copy_(value)


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


def ema_copy(network: Network) -> Network:
    return copy.deepcopy(network).eval().requires_grad_(False)


def update_ema(ema: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Update the exponential moving average of the weights and the norms' running moments.

    The decay rises from 0.1 at step 0 to `decay`, so that the first weights are soon forgotten.
    """
    pairs = [
        (a, b)
        for a, b in zip(ema.state_dict().values(), network.state_dict().values(), strict=True)
        if a.is_floating_point()
    ]
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], weight)
