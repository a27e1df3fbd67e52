"""Tensors and a JSON header in one safetensors file. No pickle: reading one runs no code.

Optimisers keep their numbers in nested dictionaries by parameter; `flatten` turns any such tree
into named tensors and JSON, `unflatten` back.
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
    """Not a checkpoint, damaged, or of a format that this version does not know."""


class NonFiniteState(Exception):
    """A tensor holds an infinity or no number: the state must not be saved."""


def pack(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """Raises NonFiniteState, naming the tensor."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise NonFiniteState(name)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, {"semblance": json.dumps({"format": FORMAT, **header})})


def unpack(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors on the CPU, and the header. Raises UnreadableCheckpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["semblance"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UnreadableCheckpoint("not a checkpoint of this service") from error
    if header.get("format") != FORMAT:
        raise UnreadableCheckpoint(f"format {header.get('format')}; this version reads {FORMAT}")
    return tensors, header


def flatten(tree: Any, prefix: str) -> tuple[dict[str, Tensor], Any]:
    """The tensors of a tree of dicts, lists, numbers and tensors, and the tree without them."""
    if isinstance(tree, Tensor):
        return {prefix: tree}, {_TENSOR: prefix}
    if isinstance(tree, dict):
        parts = {key: flatten(value, f"{prefix}.{key}") for key, value in tree.items()}
        tensors = {name: t for found, _ in parts.values() for name, t in found.items()}
        # JSON has text keys only, and optimisers number their parameters.
        rest = [[key, without] for key, (_, without) in parts.items()]
        return tensors, {"__dict__": rest}
    if isinstance(tree, list | tuple):
        found = [flatten(value, f"{prefix}.{i}") for i, value in enumerate(tree)]
        return {name: t for part, _ in found for name, t in part.items()}, [r for _, r in found]
    if isinstance(tree, float) and not math.isfinite(tree):
        raise NonFiniteState(prefix)
    return {}, tree


def unflatten(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `flatten` took apart. Tuples come back as lists."""
    if isinstance(tree, dict):
        if _TENSOR in tree:
            return tensors[tree[_TENSOR]]
        return {key: unflatten(value, tensors) for key, value in tree["__dict__"]}
    if isinstance(tree, list):
        return [unflatten(value, tensors) for value in tree]
    return tree
