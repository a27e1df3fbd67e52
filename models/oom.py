"""Running out of memory, on whatever device. Free of torch."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error says that memory has run out: torch has a class of its own for it on GPUs,
    and only words on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
