"""Sandbox processes that this process has started, and their peak memory."""

from pathlib import Path

import psutil


def list_children() -> list[psutil.Process]:
    """Return the running ones, which are children of the fork servers of this process."""
    return [
        child
        for server in psutil.Process().children()
        if is_sandbox(server)
        for child in server.children()
        if is_sandbox(child)
    ]


def is_sandbox(process: psutil.Process) -> bool:
    """Return True for fork servers and their children, which have the same command line."""
    try:
        return "core.datasets.sandbox_server" in process.cmdline()  # empty for zombies
    except psutil.NoSuchProcess:
        return False


class PeakMemory:
    """Heartbeat callback that records the peak memory of any sandbox process, in bytes."""

    def __init__(self) -> None:
        self.peak = 0

    def __call__(self) -> None:
        for child in list_children():
            status = Path(f"/proc/{child.pid}/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            self.peak = max(self.peak, int(line.split()[1]) * 1024)
