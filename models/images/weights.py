"""The weights of networks of images: how they lie in memory, who changes them, their average."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """Half the time of a convolution on a CPU."""
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
    """Networks and optimisers from what their state_dict() gave. Moments get the memory layout of
    their parameters: the fused step walks all of them in the order of memory, and a file keeps no
    layout."""
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
    """Take over the weights of a network of the same shape, but for its labels: each embedding's
    row comes from the label that `labels` names; that of a new one (-1) is the mean of all."""
    of_labels = {
        f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.Embedding)
    }
    chosen = torch.tensor(label_map)
    taken = {}
    for name, value in weights.items():
        if name in of_labels:
            rows = torch.cat([value, value.mean(0, keepdim=True)])  # -1 is the last
            taken[name] = rows[chosen]
        else:
            taken[name] = value
    network.load_state_dict(taken)


def ema_copy(network: Network) -> Network:
    return copy.deepcopy(network).eval().requires_grad_(False)


def update_ema(ema: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Weights and the norms' running moments; short memory at first, then `decay` per step."""
    pairs = [
        (a, b)
        for a, b in zip(ema.state_dict().values(), network.state_dict().values(), strict=True)
        if a.is_floating_point()
    ]
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], weight)
