"""Ceiling on the memory that this process uses, for tests that run the service in it."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 2**20


def _read_status(field: str) -> int:
    """Return a size of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) * 1_024


@contextmanager
def peak_memory_below(mib: int) -> Iterator[None]:
    """Fail if resident memory grows by `mib` or more at any time; only Linux measures it."""
    if sys.platform != "linux":
        yield
        return
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to the memory of now
    before = _read_status("VmRSS")
    yield
    grown = (_read_status("VmHWM") - before) / MIB
    assert grown < mib, f"memory grew by {grown:.0f} MiB"
