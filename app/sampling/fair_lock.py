"""First-come, first-served lock.

With `threading.Lock`, requests for a few rows that compete with image streams take up to 0.6 s
instead of 0.2 s (bench/sampling.md).
"""

import threading
from collections import deque


class FairLock:
    """Lock that goes to the thread that has waited longest.

    `threading.Lock` usually goes back to the thread that has just released it, so a long stream
    would lock out all other requests.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locked = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if not self._locked:
                self._locked = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._locked = False
