"""Child processes of the test process and their peak memory."""

from pathlib import Path

import psutil


def list_children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE
    ]


class PeakMemory:
    """Heartbeat callback that records the peak memory of any child process, in bytes."""

    def __init__(self) -> None:
        self.peak = 0

    def __call__(self) -> None:
        for child in list_children():
            status = Path(f"/proc/{child.pid}/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            self.peak = max(self.peak, int(line.split()[1]) * 1024)
