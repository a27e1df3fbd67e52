"""Devices that networks run on: their names, properties, errors and memory.

This module imports torch in its functions only, because the API and the supervisor import it.
"""

import gc
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Messages of errors about memory that have no class of their own.
_MEMORY_MESSAGES = ("DefaultCPUAllocator", "out of memory", "STATUS_ALLOC_FAILED")
# Messages of errors after which a process cannot use its GPU any more.
_CUDA_MESSAGES = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS", "cuDNN error", "CUDNN_STATUS")


class DeviceUnavailable(Exception):
    """The device does not exist on this machine, or torch cannot use it."""


@dataclass(frozen=True)
class DeviceInfo:
    """Properties of a device. `driver` is the latest version of CUDA that its driver supports."""

    kind: str  # "cpu" or "cuda"
    name: str  # of the processor
    memory_bytes: int  # total; 0 if it is unknown
    driver: str | None = None


def resolve_device(name: str) -> "torch.device":
    """Return the device of a name: `cpu`, `cuda`, `cuda:N`, or `auto` for a GPU if there is one.

    A process that runs on a GPU is set to float32 without TF32 and to deterministic kernels, so
    that samples differ from those of a CPU by rounding only, and a resumed run equals an
    uninterrupted one.

    Raises:
        DeviceUnavailable: The name is not one of these, or there is no such GPU.
    """
    import torch

    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    if name not in ("auto", "cuda") and not (kind == "cuda" and index.isdecimal()):
        raise DeviceUnavailable(
            f"The device {name!r} does not exist. Use `auto`, `cpu`, `cuda` or `cuda:N`."
        )
    if not torch.cuda.is_available():
        raise DeviceUnavailable(
            f"The device {name!r} is not available: torch {torch.__version__} finds no GPU. Use "
            "`cpu`, or install a CUDA build of torch and a driver that supports it."
        )
    number, count = int(index or 0), torch.cuda.device_count()
    if number >= count:
        raise DeviceUnavailable(f"The device {name!r} does not exist: this machine has {count}.")
    _configure_cuda()
    return torch.device("cuda", number)


def _configure_cuda() -> None:
    import torch

    # cuBLAS reads it when its first handle is created; it is deterministic with this workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Otherwise each new tensor costs a kernel that fills it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # missing in torch's stubs


def cpu_info() -> DeviceInfo:
    """Return the properties of the processor, without importing torch."""
    return DeviceInfo("cpu", _processor_name(), _physical_memory())


def device_info(device: "torch.device") -> DeviceInfo:
    import torch

    if device.type != "cuda":
        return cpu_info()
    properties = torch.cuda.get_device_properties(device)
    version = torch._C._cuda_getDriverVersion()  # type: ignore[attr-defined] # missing in torch's stubs
    return DeviceInfo(
        device.type,
        properties.name,
        properties.total_memory,
        f"{version // 1000}.{version % 1000 // 10}",
    )


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if the error reports that memory has run out, on any device.

    torch has a class for this error on GPUs, but only a message on the CPU and in its libraries.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(
        message in str(error) for message in _MEMORY_MESSAGES
    )


def is_broken_context(error: BaseException) -> bool:
    """Return True if this process cannot use its GPU any more: an error of CUDA, not of memory.

    CUDA reports such an error again at every later call of the process.
    """
    if is_out_of_memory(error):
        return False
    if type(error).__name__ == "AcceleratorError":
        return True
    return isinstance(error, RuntimeError) and any(
        message in str(error) for message in _CUDA_MESSAGES
    )


def release_memory(device: "torch.device") -> None:
    """Return the memory of deleted tensors to the GPU. Has no effect on the CPU.

    Objects that refer to each other are collected first, because they keep their tensors.
    """
    import torch

    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
