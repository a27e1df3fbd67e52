import pytest
import torch

from models.device import (
    DeviceUnavailable,
    device_info,
    is_broken_context,
    is_out_of_memory,
    release_memory,
    resolve_device,
)


def test_a_device_is_found_by_its_name() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "mps", ""])
def test_an_unknown_name_is_rejected_with_the_names_that_exist(name: str) -> None:
    with pytest.raises(DeviceUnavailable, match="`cuda:N`"):
        resolve_device(name)


def test_the_processor_has_a_name_and_memory() -> None:
    info = device_info(torch.device("cpu"))
    assert (info.kind, info.driver) == ("cpu", None)
    assert info.name
    assert info.memory_bytes > 2**28
    release_memory(torch.device("cpu"))


MEMORY_ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]
BROKEN_CONTEXTS = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    torch.AcceleratorError("CUDA error: unspecified launch failure"),
]


@pytest.mark.parametrize("error", MEMORY_ERRORS)
def test_errors_about_memory_leave_the_process_usable(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_broken_context(error)


@pytest.mark.parametrize("error", BROKEN_CONTEXTS)
def test_other_errors_of_cuda_break_the_process(error: Exception) -> None:
    assert is_broken_context(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("CUDA error")])
def test_errors_of_the_program_are_neither(error: Exception) -> None:
    assert not is_broken_context(error)
    assert not is_out_of_memory(error)
