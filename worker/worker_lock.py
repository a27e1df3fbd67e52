"""One job at a time on this worker, whoever starts it: Celery's child or the poller's.

A lock on a file, so that it is free again when its holder dies, however it dies. The holder writes
its process into the file and touches it as long as it runs, so that one that stands still is found.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core import file_lock


@contextmanager
def try_acquire(folder: Path) -> Iterator[bool]:
    """Yields whether the slot is ours until the block ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file_lock.try_lock(_file(folder)) as ours:
        if ours:
            _file(folder).write_text(str(os.getpid()))
        yield ours


def is_free(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file_lock.try_lock(_file(folder)) as ours:
        return ours


def touch(folder: Path) -> None:
    """The holder lives: its threads still run."""
    with suppress(FileNotFoundError):  # the worker has ended and taken its folder along
        os.utime(_file(folder))


class LockMonitor:
    """Sees a holder that does not touch its slot any more; a clock that jumps misleads nobody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._touched, self._since = 0, time.monotonic()

    def stuck_holder(self, timeout_s: float) -> int | None:
        """The process that has not touched the slot for this long. Ask now and then."""
        if is_free(self._folder):
            return None
        touched, now = _file(self._folder).stat().st_mtime_ns, time.monotonic()
        if touched != self._touched:
            self._touched, self._since = touched, now
        written = _file(self._folder).read_text()
        return int(written) if written and now - self._since > timeout_s else None


def _file(folder: Path) -> Path:
    return folder / "slot.lock"
