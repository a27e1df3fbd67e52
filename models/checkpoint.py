"""Checkpoint files: the training state to resume from, and the model to sample from.

Both are tensors and a JSON header in one safetensors file. The format does not use pickle, so
reading a file cannot run code. The objects of a training name the attributes that a state holds;
this module saves and restores them. Optimizers keep their state in nested dictionaries indexed by
parameter: `flatten` turns any such tree into named tensors and JSON, and `unflatten` reverses it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

FORMAT = 1
_TENSOR = "__tensor__"


class Resumable(Protocol):
    """An object whose state is part of a training state."""

    @property
    def saved(self) -> Sequence[str]:
        """Return the names of the attributes that a training state holds.

        They are networks, optimizers and other objects with a `state_dict`, dataclasses, tensors,
        and values that JSON can represent.
        """


class UnreadableCheckpoint(ValueError):
    """The file is not a checkpoint, is damaged, or has an unsupported format."""


class NonFiniteState(Exception):
    """A value of the state is infinite or NaN, so the state must not be saved."""


def pack(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """Serialize tensors and a header that JSON can represent.

    Raises:
        NonFiniteState: A tensor holds an infinity or NaN. The message is the tensor's name.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in plain.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise NonFiniteState(name)
    return save(plain, {"semblance": json.dumps({"format": FORMAT, **header})})


def unpack(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the header.

    Raises:
        UnreadableCheckpoint: The file is not a checkpoint of the current format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["semblance"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UnreadableCheckpoint("The file is not a Semblance checkpoint.") from error
    if header.get("format") != FORMAT:
        raise UnreadableCheckpoint(
            f"The checkpoint has format {header.get('format')}; this version reads {FORMAT}."
        )
    return tensors, header


def pack_state(
    modality: str,
    objects: Mapping[str, Resumable],
    tensors: Mapping[str, Tensor] | None = None,
    **header: Any,
) -> bytes:
    """Serialize a training state: the saved attributes of `objects`, by their names.

    Raises:
        NonFiniteState: A weight or a statistic is infinite or NaN.
    """
    tree = {
        name: {attribute: _to_tree(getattr(part, attribute)) for attribute in part.saved}
        for name, part in objects.items()
    }
    state, structure = flatten(tree, "state")
    return pack(
        {**state, **(tensors or {})},
        {"modality": f"{modality}.state", "tree": structure, **header},
    )


def read_state(path: Path) -> dict[str, dict[str, Any]]:
    """Return the saved attributes of each object of a training state.

    Objects with a `state_dict` are represented by it, and dataclasses by a dictionary.

    Raises:
        UnreadableCheckpoint: The file is not a training state of the current format.
    """
    tensors, header = unpack(path)
    if "tree" not in header:
        raise UnreadableCheckpoint("The checkpoint does not hold a training state.")
    tree: dict[str, dict[str, Any]] = unflatten(header["tree"], tensors)
    return tree


def load_state(path: Path, objects: Mapping[str, Resumable]) -> None:
    """Restore the saved attributes of the objects that were passed to `pack_state`.

    Raises:
        UnreadableCheckpoint: The file is not a training state of the current format.
    """
    tree = read_state(path)
    for name, part in objects.items():
        for attribute in part.saved:
            current, saved = getattr(part, attribute), tree[name][attribute]
            if hasattr(current, "load_state_dict"):
                current.load_state_dict(saved)
            elif is_dataclass(current) and not isinstance(current, type):
                setattr(part, attribute, replace(current, **saved))
            else:
                is_tensor = isinstance(saved, Tensor)
                value = saved.to(current.device, copy=True) if is_tensor else saved
                setattr(part, attribute, value)
            if isinstance(current, torch.optim.Optimizer):
                _restore_layouts(current)


def pack_model(
    modality: str,
    networks: Mapping[str, nn.Module],
    tensors: Mapping[str, Tensor] | None = None,
    **header: Any,
) -> bytes:
    """Serialize a model: its networks, whose weights are named NETWORK.WEIGHT, and its settings.

    Raises:
        NonFiniteState: A weight is infinite or NaN.
    """
    weights = nn.ModuleDict(dict(networks)).state_dict()
    return pack({**weights, **(tensors or {})}, {"modality": modality, **header})


def weights_of(network: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of one network of a model. Empty if the model does not have it."""
    prefix = f"{network}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def count_parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def _to_tree(value: Any) -> Any:
    if hasattr(value, "state_dict"):
        return dict(value.state_dict())
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _restore_layouts(optimizer: torch.optim.Optimizer) -> None:
    """Give each moment the memory layout of its parameter, which a checkpoint does not store.

    The fused optimizer step reads parameters and moments in memory order.
    """
    for parameter, moments in optimizer.state.items():
        for key, value in moments.items():
            if value.shape == parameter.shape:
                moments[key] = torch.empty_like(parameter).copy_(value)


def flatten(tree: Any, prefix: str) -> tuple[dict[str, Tensor], Any]:
    """Split a tree of dicts, lists, numbers and tensors into named tensors and JSON.

    Raises:
        NonFiniteState: A number is infinite or NaN. The message is the number's path.
    """
    if isinstance(tree, Tensor):
        return {prefix: tree}, {_TENSOR: prefix}
    if isinstance(tree, dict):
        parts = {key: flatten(value, f"{prefix}.{key}") for key, value in tree.items()}
        tensors = {
            name: tensor
            for part_tensors, _ in parts.values()
            for name, tensor in part_tensors.items()
        }
        # A list of pairs: optimizers use integer keys, and JSON objects have only string keys.
        pairs = [[key, part_tree] for key, (_, part_tree) in parts.items()]
        return tensors, {"__dict__": pairs}
    if isinstance(tree, list | tuple):
        items = [flatten(value, f"{prefix}.{i}") for i, value in enumerate(tree)]
        tensors = {
            name: tensor for item_tensors, _ in items for name, tensor in item_tensors.items()
        }
        return tensors, [item_tree for _, item_tree in items]
    if isinstance(tree, float) and not math.isfinite(tree):
        raise NonFiniteState(prefix)
    return {}, tree


def unflatten(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Rebuild the tree that was passed to `flatten`. Tuples come back as lists."""
    if isinstance(tree, dict):
        if _TENSOR in tree:
            return tensors[tree[_TENSOR]]
        return {key: unflatten(value, tensors) for key, value in tree["__dict__"]}
    if isinstance(tree, list):
        return [unflatten(value, tensors) for value in tree]
    return tree
