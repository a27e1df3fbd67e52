"""A virtual GPU: tensors are computed by the CPU, but know that they are on a GPU.

Operations that CUDA rejects raise RefusedOperation. Launched kernels are counted by operation;
copies between the devices and waits of the host for the GPU, by the line of this project that
causes them:

    with VirtualGpu() as gpu:
        network.to("cuda")
        ...
    gpu.synchronizations, gpu.copies, gpu.launches

It checks placement, not arithmetic: results equal those of the CPU. Tensors that autograd creates
inside of torch belong to either device. The context covers the current thread only. CUDA graphs:
tests/virtual_graph.py.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from unittest.mock import patch
from weakref import WeakSet

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.virtual_graph import Capture, Recording, RefusedOperation, VirtualGraph, VirtualStream

ROOT = Path(__file__).parents[1]
GPU, CPU = torch.device("cuda:0"), torch.device("cpu")
MEMORY_BYTES = 2**34
aten = torch.ops.aten

# The host waits for the GPU, because it needs a value or a size that is computed there.
SYNCHRONIZING = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.masked_select,
    aten._unique2,
    aten.unique_dim,
    aten.bincount,
    aten.equal,
    aten._linalg_check_errors,
    aten.repeat_interleave,
}
FACTORIES = {
    torch.zeros,
    torch.ones,
    torch.empty,
    torch.full,
    torch.arange,
    torch.linspace,
    torch.eye,
    torch.rand,
    torch.randn,
    torch.randint,
    torch.randperm,
    torch.tensor,
    torch.as_tensor,
    torch.from_numpy,
    torch.scalar_tensor,
    torch.empty_strided,
}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
COPYING = {aten.copy_, aten._to_copy, aten._foreach_copy_}
WITHOUT_KERNEL = {
    aten.empty,
    aten.empty_like,
    aten.new_empty,
    aten.empty_strided,
    aten.new_empty_strided,
    aten._unsafe_view,
    aten.lift_fresh,
    aten._local_scalar_dense,
    aten.detach,
    aten.set_,
    aten._reshape_alias,
    aten.resize_,
}

Counts = Counter[tuple[str, str]]  # by line of this project and description


def placement(tensor: Tensor) -> bool | None:
    """Return True on the GPU, False on the CPU, and None for a tensor that torch itself created."""
    try:
        return getattr(tensor.untyped_storage(), "on_gpu", False)
    except (NotImplementedError, RuntimeError):  # wrapped by torch.func
        return False


def is_on_gpu(tensor: Tensor) -> bool:
    return bool(placement(tensor))


MAX_GPUS = 8  # devices that have a random number generator


class VirtualGpu:
    """Context in which `cuda:0` exists; see the module.

    With `memory_bytes`, an upload or a new tensor of more bytes than that raises an error of torch
    about memory.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self.synchronizations: Counts = Counter()
        self.copies: Counts = Counter()
        self.uploads: Counts = Counter()  # from pinned memory, without waiting
        self.launches: Counter[str] = Counter()  # by operation
        self.uploaded_bytes = 0
        self.memory_bytes = memory_bytes
        self.emptied_caches = 0
        self.recorded_graphs = 0
        self.current_function: Any = None
        self.creates_on_gpu = False
        self.recording: Recording | None = None
        self._storages: WeakSet[Any] = WeakSet()
        self._pinned: WeakSet[Any] = WeakSet()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        generator = SimpleNamespace(manual_seed=lambda seed: None)
        properties = SimpleNamespace(name="Virtual GPU", total_memory=self.memory_bytes)
        for target, name, value in (
            (torch.cuda, "is_available", lambda: True),
            (torch.cuda, "device_count", lambda: 1),
            (torch.cuda, "get_device_properties", lambda device=None: properties),
            (torch.cuda, "mem_get_info", lambda device=None: (self.free_bytes, self.memory_bytes)),
            (torch.cuda, "empty_cache", self._empty_cache),
            (torch.cuda, "synchronize", lambda device=None: self.count_wait("synchronize")),
            (torch.cuda, "CUDAGraph", lambda: VirtualGraph(self)),
            (torch.cuda, "graph", partial(Capture, self)),
            (torch.cuda, "Stream", VirtualStream),
            (torch.cuda, "current_stream", VirtualStream),
            (torch.cuda, "stream", lambda stream: nullcontext()),
            (torch.cuda, "default_generators", (generator,) * MAX_GPUS),
            (torch._C, "_cuda_getDriverVersion", lambda: 12080),
        ):
            self._stack.enter_context(patch.object(target, name, value, create=True))
        # A real GPU computes in bfloat16; the virtual one computes as the CPU does.
        self._stack.enter_context(patch("models.autocast.torch.autocast", _autocast))
        self._stack.callback(torch.use_deterministic_algorithms, False)
        self._stack.enter_context(_Functions(self))
        self._stack.enter_context(_Operations(self))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def allocated_bytes(self) -> int:
        """Memory of all tensors on the GPU that exist."""
        return sum(storage.nbytes() for storage in self._storages)

    @property
    def free_bytes(self) -> int:
        return self.memory_bytes - self.allocated_bytes

    def clear(self) -> None:
        for counter in (self.synchronizations, self.copies, self.uploads, self.launches):
            counter.clear()
        self.uploaded_bytes = 0

    def put(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not getattr(storage, "on_gpu", False):
            if storage.nbytes() > self.memory_bytes:
                raise torch.OutOfMemoryError("CUDA out of memory. (virtual GPU)")
            storage.on_gpu = True  # type: ignore[attr-defined]
            self._storages.add(storage)
        return tensor

    def refuse(self, message: str) -> None:
        raise RefusedOperation(f"{message} at {current_line()}")

    def count_wait(self, name: str) -> None:
        if self.recording is not None:
            self.refuse(f"{name} in a CUDA graph waits for the GPU")
        self.synchronizations[current_line(), name] += 1

    def pin(self, tensor: Tensor) -> Tensor:
        pinned = tensor.clone()
        self._pinned.add(pinned.untyped_storage())
        return pinned

    def count_copy(self, to_gpu: bool, tensor: Tensor, *, is_asynchronous: bool = False) -> None:
        if self.recording is not None:  # each replay would copy what is at this address then
            self.refuse("copy between the devices in a CUDA graph")
        if to_gpu and is_asynchronous and tensor.untyped_storage() in self._pinned:
            self.uploads[current_line(), "upload"] += 1
            self.uploaded_bytes += tensor.nbytes
        else:
            direction = "to the GPU" if to_gpu else "from the GPU"
            self.copies[current_line(), direction] += 1

    def _empty_cache(self) -> None:
        self.emptied_caches += 1


def _autocast(device_type: str, dtype: torch.dtype, *, enabled: bool) -> torch.autocast:
    from models.autocast import HAS_BF16

    del device_type, enabled
    return torch.amp.autocast_mode.autocast("cpu", dtype, enabled=HAS_BF16)


def current_line() -> str:
    """Return the innermost line of this project in the call stack."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(str(ROOT)) and path != __file__ and "/.venv/" not in path:
            return f"{Path(path).relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


class _Functions(TorchFunctionMode):
    """Calls of torch from Python: the placement of new tensors, and moves."""

    def __init__(self, gpu: VirtualGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, self.gpu.current_function = kwargs or {}, func
        if (method := TENSOR_METHODS.get(func)) is not None:
            return method(self.gpu, func, *args, **kwargs)
        device = kwargs.get("device")
        if device is None or torch.device(device).type != "cuda":
            return func(*args, **kwargs)
        if isinstance(kwargs.get("generator"), torch.Generator):
            self.gpu.refuse(f"{func.__name__} on the GPU with a generator of the CPU")
        self.gpu.creates_on_gpu = True
        try:
            created = func(*args, **kwargs | {"device": CPU})
        finally:
            self.gpu.creates_on_gpu = False
        return self.gpu.put(created) if isinstance(created, Tensor) else created


def _device(_gpu: VirtualGpu, _func: Any, tensor: Tensor) -> torch.device:
    return GPU if is_on_gpu(tensor) else CPU


def _is_cuda(_gpu: VirtualGpu, _func: Any, tensor: Tensor) -> bool:
    return is_on_gpu(tensor)


def _is_cpu(_gpu: VirtualGpu, _func: Any, tensor: Tensor) -> bool:
    return not is_on_gpu(tensor)


def _to(gpu: VirtualGpu, _func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    is_asynchronous = bool(kwargs.get("non_blocking"))
    if args and isinstance(args[0], Tensor):
        device, dtype, layout = _device(gpu, None, args[0]), args[0].dtype, None
    else:
        kwargs.pop("copy", None)
        device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
    moved = tensor
    if dtype is not None or layout is not None:
        moved = tensor.to(
            dtype=dtype or tensor.dtype, memory_format=layout or torch.preserve_format
        )
    # clip_grad_norm_ asks the dispatcher, which knows the CPU only, for the device.
    if sys._getframe(2).f_globals["__name__"] == "torch.nn.utils.clip_grad":
        device = None
    if device is None or (device.type == "cuda") == is_on_gpu(tensor):
        return gpu.put(moved) if is_on_gpu(tensor) else moved
    gpu.count_copy(device.type == "cuda", moved, is_asynchronous=is_asynchronous)
    moved = moved.clone()
    moved.untyped_storage().on_gpu = False  # type: ignore[attr-defined]
    return gpu.put(moved) if device.type == "cuda" else moved


def _cpu(gpu: VirtualGpu, _func: Any, tensor: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return _to(gpu, None, tensor, CPU)


def _cuda(gpu: VirtualGpu, _func: Any, tensor: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return _to(gpu, None, tensor, GPU)


def _pin_memory(gpu: VirtualGpu, _func: Any, tensor: Tensor, *_args: Any) -> Tensor:
    return gpu.pin(tensor)


def _numpy(gpu: VirtualGpu, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
    if is_on_gpu(tensor):
        gpu.refuse("numpy() of a tensor on the GPU")
    return func(tensor, *args, **kwargs)


def _tolist(gpu: VirtualGpu, func: Any, tensor: Tensor) -> Any:
    if is_on_gpu(tensor):
        gpu.count_wait("tolist")
    return func(tensor)


def _deepcopy(gpu: VirtualGpu, func: Any, tensor: Tensor, memo: Any) -> Any:
    copied = func(tensor, memo)
    return gpu.put(copied) if is_on_gpu(tensor) else copied


TENSOR_METHODS: dict[Any, Any] = {
    torch.Tensor.device.__get__: _device,  # type: ignore[attr-defined]
    torch.Tensor.is_cuda.__get__: _is_cuda,  # type: ignore[attr-defined]
    torch.Tensor.is_cpu.__get__: _is_cpu,  # type: ignore[attr-defined]
    torch.Tensor.to: _to,
    torch.Tensor.cpu: _cpu,
    torch.Tensor.cuda: _cuda,
    torch.Tensor.pin_memory: _pin_memory,
    torch.Tensor.numpy: _numpy,
    torch.Tensor.__array__: _numpy,
    torch.Tensor.tolist: _tolist,
    torch.Tensor.__deepcopy__: _deepcopy,
}


class _Operations(TorchDispatchMode):
    """Computations, and the devices of their arguments."""

    def __init__(self, gpu: VirtualGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        with torch._C.DisableTorchFunction():  # for speed: each call below would be watched, too
            return self._run(func, args, kwargs or {})

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        tensors = _tensors((*args, *kwargs.values()))
        places = [placement(tensor) for tensor in tensors]
        recording = self.gpu.recording
        if True not in places:
            out = func(*args, **kwargs)
            is_internal = not tensors and self.gpu.current_function not in FACTORIES
            # The places may have changed: set_() gives a tensor another storage.
            is_internal = is_internal or any(placement(tensor) is None for tensor in tensors)
            if recording is not None and (is_internal or self.gpu.creates_on_gpu):
                recording.add(func, args, kwargs, out)
            if is_internal:
                for created in _tensors((out,)):
                    created.untyped_storage().on_gpu = None  # type: ignore[attr-defined]
            return out
        self._check(func, args, kwargs, tensors, places)
        if recording is not None:
            recording.protect(tensors)
        out = func(*args, **kwargs)
        if recording is not None:
            recording.add(func, args, kwargs, out)
        if places[0] or not func._schema.is_mutable:
            for created in _tensors((out,)):
                self.gpu.put(created)
        return out

    def _check(self, func: Any, args: Any, kwargs: Any, tensors: Any, places: Any) -> None:
        packet, gpu, name = func.overloadpacket, self.gpu, func.overloadpacket.__name__
        if packet in COPYING and not all(places):
            gpu.count_copy(bool(places[0]), tensors[0])
            return
        if packet in INDEXING:
            indices = [index for index in args[1] if index is not None]
            if is_on_gpu(args[0]) and any(not is_on_gpu(index) for index in indices):
                gpu.count_copy(True, indices[0])
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                gpu.count_wait(f"{name} by a mask")
            others = [*args[2:3]] if is_on_gpu(args[0]) else [*indices, *args[2:3]]
            tensors = [tensor for tensor in [args[0], *others] if isinstance(tensor, Tensor)]
            places = [placement(tensor) for tensor in tensors]
        on_cpu = any(place is False and t.ndim for place, t in zip(places, tensors, strict=True))
        writes_to_cpu = func._schema.is_mutable and places[0] is False
        if (True in places and on_cpu) or (writes_to_cpu and packet not in COPYING):
            names = {True: "GPU", False: "CPU", None: "either"}
            gpu.refuse(f"{name} of tensors on {[names[place] for place in places]}")
        if isinstance(kwargs.get("generator"), torch.Generator):
            gpu.refuse(f"{name} on the GPU with a generator of the CPU")
        if packet in SYNCHRONIZING:
            gpu.count_wait(name)
        if packet not in WITHOUT_KERNEL and not _is_view(func):
            gpu.launches[name] += 1


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    tensors = []
    for value in values:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, list | tuple):
            tensors += _tensors(value)
    return tensors


@cache
def _is_view(func: Any) -> bool:
    returns = func._schema.returns
    return bool(returns) and all(
        r.alias_info is not None and not r.alias_info.is_write for r in returns
    )


class BrokenContext(TorchDispatchMode):
    """Context in which every operation fails, as after an illegal memory access on a GPU."""

    def __torch_dispatch__(self, func: Any, *_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
