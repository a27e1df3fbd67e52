"""Sandbox processes that this process has started."""

import psutil


def list_children() -> list[psutil.Process]:
    """Return the running ones; other tests may have servers that run for longer."""
    return [child for child in psutil.Process().children() if is_running_sandbox(child)]


def is_running_sandbox(process: psutil.Process) -> bool:
    try:
        return "core.datasets.sandbox_main" in process.cmdline()  # empty for zombies
    except psutil.NoSuchProcess:
        return False
