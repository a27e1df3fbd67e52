"""Election of the worker that acts for all workers of its host.

Workers of a host share a scratch folder. The one that holds a lock there sends the heartbeats of
all, detects lost jobs, delivers webhooks, validates datasets and deletes files, so that the load of
the database does not grow with the number of idle workers. If it ends, the kernel releases the
lock, and the next worker that asks takes it. If it is stopped, it no longer touches the file, and
each of the others acts for itself.
"""

import os
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from core import file_lock


class HostDuty:
    def __init__(self, scratch: Path, timeout_s: float) -> None:
        """Take part in the election; a holder without a proof for `timeout_s` counts as stopped.

        The proof must not depend on the database: if a slow one let all workers act, it would be
        slower still. The methods may be called from any thread.
        """
        self._file, self._timeout_s = scratch / "host.lock", timeout_s
        self._held = ExitStack()
        self._has_lock = False
        self._mutex = threading.Lock()
        self._last_mtime, self._changed_at = 0, time.monotonic()

    def acts(self) -> bool:
        """Return True if this worker has to act now, for the host or for itself."""
        return self.is_mine() or self._holder_is_stopped()

    def is_mine(self) -> bool:
        """Return True if this worker acts for the host."""
        with self._mutex:
            if not self._has_lock:
                with ExitStack() as attempt:
                    self._has_lock = attempt.enter_context(file_lock.try_lock(self._file))
                    self._held = attempt.pop_all() if self._has_lock else self._held
            return self._has_lock

    def prove(self) -> None:
        """Record that this worker runs, if it acts for the host."""
        if self.is_mine():
            os.utime(self._file)

    def _holder_is_stopped(self) -> bool:
        # On the monotonic clock, because the system's may change.
        mtime, now = self._file.stat().st_mtime_ns, time.monotonic()
        with self._mutex:
            if mtime != self._last_mtime:
                self._last_mtime, self._changed_at = mtime, now
            return now - self._changed_at > self._timeout_s

    def release(self) -> None:
        with self._mutex:
            self._held.close()
            self._has_lock = False
