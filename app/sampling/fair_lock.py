"""Lock whose owners take turns, and within an owner the thread that has waited longest.

With `threading.Lock`, requests for a few rows that compete with image streams take up to 0.6 s
instead of 0.2 s (bench/sampling.md). Without turns of owners, one tenant with 200 requests would
have 200 turns for each of another tenant.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.fairness.queue import FairQueue


class FairLock:
    """Lock that goes to the next owner, and of its threads to the one that has waited longest.

    `threading.Lock` usually goes back to the thread that has just released it, so a long stream
    would lock out all other requests.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locked = False
        self._waiting: FairQueue[threading.Event] = FairQueue()

    @contextmanager
    def take(self, owner: str) -> Iterator[None]:
        """Hold the lock on behalf of `owner`, such as a tenant, while the block runs."""
        turn = threading.Event()
        with self._lock:
            if self._locked:
                self._waiting.add(owner, turn)
            else:
                self._locked = True
                turn.set()
        turn.wait()
        try:
            yield
        finally:
            with self._lock:
                if (following := self._waiting.pop()) is None:
                    self._locked = False
                else:
                    following.set()
