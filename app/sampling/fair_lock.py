"""Lock whose owners take turns, and within an owner the thread that has waited longest.

With `threading.Lock`, requests for a few rows that compete with image streams take up to 0.6 s
instead of 0.2 s (bench/sampling.md). Without turns of owners, one tenant with 200 requests would
have 200 turns for each of another tenant.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager


class FairLock:
    """Lock that up to `slots` threads hold at a time.

    `threading.Lock` usually goes back to the thread that has just released it, so a long stream
    would lock out all other requests.
    """

    def __init__(self, slots: int = 1) -> None:
        self._lock = threading.Lock()
        self._free = slots
        self._waiting: OrderedDict[str, deque[threading.Event]] = OrderedDict()  # by owner

    @contextmanager
    def take(self, owner: str) -> Iterator[None]:
        """Hold the lock on behalf of `owner`, such as a tenant, while the block runs."""
        self._acquire(owner)
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def lend(self, owner: str) -> Iterator[None]:
        """Let others hold the lock that this thread holds, while the block runs."""
        self._release()
        try:
            yield
        finally:
            self._acquire(owner)

    def __enter__(self) -> None:
        self._acquire("")

    def __exit__(self, *_error: object) -> None:
        self._release()

    def _acquire(self, owner: str) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.setdefault(owner, deque()).append(turn)
        turn.wait()

    def _release(self) -> None:
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            owner, turns = self._waiting.popitem(last=False)
            turns.popleft().set()
            if turns:
                self._waiting[owner] = turns  # behind the other owners
