"""Separate thread pools, so that one kind of work cannot use up the threads of another."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")


class ThreadPool:
    """Pool that runs at most `count` functions at once.

    The threads compete with the event loop for the interpreter lock, so larger pools slow it down.
    """

    def __init__(self, name: str, count: int) -> None:
        self._count = count
        self._limiter: RunVar[CapacityLimiter] = RunVar(name)  # one limiter per event loop

    async def run(self, function: Callable[[], T]) -> T:
        """Call `function` in a thread and return its result."""
        try:
            limiter = self._limiter.get()
        except LookupError:
            limiter = CapacityLimiter(self._count)
            self._limiter.set(limiter)
        return await to_thread.run_sync(function, limiter=limiter)
