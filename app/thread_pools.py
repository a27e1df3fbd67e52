"""Threads of their own for some kinds of work, so that one kind does not take those of another."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")


class ThreadPool:
    """At most `count` at a time. They take turns with the event loop at the interpreter's lock: the
    more of them run Python, the longer it waits."""

    def __init__(self, name: str, count: int) -> None:
        self._count = count
        self._limiter: RunVar[CapacityLimiter] = RunVar(name)  # an event loop has its own

    async def run(self, work: Callable[[], T]) -> T:
        try:
            limiter = self._limiter.get()
        except LookupError:
            limiter = CapacityLimiter(self._count)
            self._limiter.set(limiter)
        return await to_thread.run_sync(work, limiter=limiter)
