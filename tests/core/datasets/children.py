"""The processes that this one has started, and the memory that they held."""

from pathlib import Path

import psutil


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
    ]


class Usage:
    """The most memory that any child held while the caller waited."""

    def __init__(self) -> None:
        self.peak = 0

    def __call__(self) -> None:
        for child in children():
            status = Path(f"/proc/{child.pid}/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            self.peak = max(self.peak, int(line.split()[1]) * 1024)
