"""Detection of out-of-memory errors on any device. This module does not import torch."""


def is_out_of_memory(error: Exception) -> bool:
    """Return True if the error reports that memory has run out.

    torch has a class for this error on GPUs, but only a message on the CPU.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
