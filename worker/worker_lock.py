"""File lock that limits a worker to one job at a time.

Both Celery's child processes and those of the worker's supervisor acquire it. The operating system
releases a file lock when its holder dies for any reason. The holder writes its process id into the
file and touches the file while it runs, so that a stopped holder is detected.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core import file_lock


@contextmanager
def try_acquire(folder: Path) -> Iterator[bool]:
    """Try to acquire the lock until the block ends; yield True on success."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file_lock.try_lock(_file(folder)) as acquired:
        if acquired:
            _file(folder).write_text(str(os.getpid()))
        yield acquired


def is_free(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file_lock.try_lock(_file(folder)) as acquired:
        return acquired


def touch(folder: Path) -> None:
    """Record that the holder's threads still run."""
    with suppress(FileNotFoundError):  # the worker removes its folder when it exits
        os.utime(_file(folder))


class LockMonitor:
    """Detector of a holder that no longer touches the lock file.

    It measures the time since it last saw the file's timestamp change on the monotonic clock, so
    changes of the system clock do not matter.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last_mtime, self._changed_at = 0, time.monotonic()

    def stuck_holder(self, timeout_s: float) -> int | None:
        """Return the id of a process that has not touched the file for `timeout_s`, or None.

        Call this regularly: only calls notice that the file was touched.
        """
        if is_free(self._folder):
            return None
        mtime, now = _file(self._folder).stat().st_mtime_ns, time.monotonic()
        if mtime != self._last_mtime:
            self._last_mtime, self._changed_at = mtime, now
        pid = _file(self._folder).read_text()
        return int(pid) if pid and now - self._changed_at > timeout_s else None


def _file(folder: Path) -> Path:
    return folder / "slot.lock"
