"""Turns at something that only one may have at a time."""

import threading
from collections import deque


class FairLock:
    """A lock that goes to whoever has waited longest: a plain one mostly goes back to the thread
    that has just let go of it, and a long stream would keep everybody else out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
