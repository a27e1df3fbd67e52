"""CUDA graphs of the virtual GPU (tests/virtual_gpu.py).

As on a GPU, nothing of a capture is computed: everything that it writes gets its old values back.
Replays repeat the operations of the capture, on the same memory and without any Python in between.
So a value that Python computes in the step is frozen, and a tensor that is created before a step is
gone. What a GPU would not notice raises RefusedOperation: waits and copies between the devices in a
capture, and memory that a replay uses and nobody else does.
"""

from collections.abc import Callable
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes


class RefusedOperation(RuntimeError):
    """CUDA rejects the operation, for example because tensors are on two devices."""


class VirtualStream:
    def __init__(self, device: Any = None) -> None:
        """Create a stream. All streams are the same."""

    def wait_stream(self, stream: "VirtualStream") -> None:
        """Do nothing: operations are computed in the order of their calls."""


class _Place:
    """A tensor of a recorded operation, by its memory, which the graph refers to but does not own.

    A tensor in memory of the graph itself is recorded as it is.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._storage, self._dtype = ref(tensor.untyped_storage()), tensor.dtype
        self._layout = tensor.storage_offset(), tensor.size(), tensor.stride()

    def tensor(self) -> Tensor:
        if (storage := self._storage()) is None:
            raise RefusedOperation("a CUDA graph uses memory that was freed")
        return torch.empty(0, dtype=self._dtype).set_(storage, *self._layout)


def _map(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to the arguments or results of an operation, which may be nested lists."""
    if isinstance(value, list | tuple):
        return [_map(function, item) for item in value]
    if isinstance(value, dict):
        return {name: _map(function, item) for name, item in value.items()}
    return function(value)


def _leaves(value: Any) -> list[Any]:
    leaves: list[Any] = []
    _map(leaves.append, value)
    return leaves


class Recording:
    """Operations of a capture, and the values that it must not change."""

    def __init__(self) -> None:
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self._owned: dict[int, Any] = {}  # storages, by address
        self._outside: dict[int, tuple[Tensor, Tensor]] = {}  # bytes and their old values

    def protect(self, tensors: list[Tensor]) -> None:
        """Save the values of the memory outside of the graph that an operation may write to."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            address = storage.data_ptr()
            if address not in self._owned and address not in self._outside and storage.nbytes():
                content = torch.empty(0, dtype=torch.uint8).set_(storage)
                self._outside[address] = content, content.clone()

    def restore(self) -> None:
        for content, values in self._outside.values():
            content.copy_(values)
        self._outside.clear()  # It must not keep this memory.

    def add(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            inputs = {
                leaf.untyped_storage().data_ptr()
                for leaf in _leaves((args, kwargs))
                if isinstance(leaf, Tensor)
            }
            created = []
            for leaf in _leaves(out):
                is_new = isinstance(leaf, Tensor) and (
                    leaf.untyped_storage().data_ptr() not in inputs
                )
                if is_new:
                    self._owned[leaf.untyped_storage().data_ptr()] = leaf.untyped_storage()
                created.append(self._place(leaf) if is_new else None)
            args, kwargs = _map(self._place, (args, kwargs))
            self.operations.append((func, args, kwargs, created))

    def _place(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        is_owned = leaf.untyped_storage().data_ptr() in self._owned
        return leaf.detach() if is_owned else _Place(leaf)


class VirtualGraph:
    def __init__(self, gpu: Any) -> None:
        self._gpu = gpu
        self.recording: Recording | None = None

    def pool(self) -> tuple[int, int]:
        return 0, 1

    @torch.no_grad()
    def replay(self) -> None:
        assert self.recording is not None, "replay() of a graph without a capture"
        self._gpu.launches["graph"] += 1
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            for func, args, kwargs, created in self.recording.operations:
                args, kwargs = _map(_tensor, (args, kwargs))
                outputs = _leaves(func(*args, **kwargs))
                for place, value in zip(created, outputs, strict=True):
                    if place is not None:
                        place.copy_(value)


def _tensor(leaf: Any) -> Any:
    return leaf.tensor() if isinstance(leaf, _Place) else leaf


class Capture:
    """Context of a capture: torch.cuda.graph."""

    def __init__(self, gpu: Any, graph: VirtualGraph, **_options: Any) -> None:
        self._gpu, self._graph = gpu, graph

    def __enter__(self) -> None:
        self._random_state = torch.random.get_rng_state()
        self._gpu.recording = Recording()

    def __exit__(self, kind: object, *_error: object) -> None:
        recording, self._gpu.recording = self._gpu.recording, None
        with _disable_current_modes(), torch._C.DisableTorchFunction(), torch.no_grad():
            recording.restore()
        torch.random.set_rng_state(self._random_state)
        if kind is None:
            self._graph.recording = recording
            self._gpu.recorded_graphs += 1
