"""Checkpoint format: tensors and a JSON header in one safetensors file.

The format does not use pickle, so reading a file cannot run code. Optimizers keep their state in
nested dictionaries indexed by parameter: `flatten` turns any such tree into named tensors and JSON,
and `unflatten` reverses it.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FORMAT = 1
_TENSOR = "__tensor__"


class UnreadableCheckpoint(ValueError):
    """The file is not a checkpoint, is damaged, or has an unsupported format."""


class NonFiniteState(Exception):
    """A value of the state is infinite or NaN, so the state must not be saved."""


def pack(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """Serialize tensors and a header that JSON can represent.

    Raises:
        NonFiniteState: A tensor holds an infinity or NaN. The message is the tensor's name.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise NonFiniteState(name)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
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
