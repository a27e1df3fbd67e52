"""Threads for blocking work of requests, which tenants share.

The pool of anyio serves work in order of arrival: the parts of a hundred uploads of one tenant
would take all threads, and all other requests would wait behind them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

from app.fair_queue import FairQueue
from app.fair_shares import FairShares, request_shares

MIN_REST_S = 0.001
# Threads of each pool for the tenant that has used the most. Each of more would compete with the
# other tenants for the interpreter lock at every step of their requests.
HEAVIEST_THREADS = 2
RECHECK_S = 0.1  # after this time, a tenant may no longer be the one that has used the most

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class FairThreads:
    """A number of threads, of which one owner has at most a part.

    Owners that wait take turns. An owner that has used more than its share of the processor waits
    until it has rested.
    """

    def __init__(self, threads: int, per_owner: int, shares: FairShares = request_shares) -> None:
        self._threads, self._per_owner, self._shares = threads, per_owner, shares
        self._running: Counter[str] = Counter()
        self._waiting: FairQueue[tuple[str, asyncio.Future[None]]] = FairQueue()
        self._timer: asyncio.TimerHandle | None = None
        self._limiter = CapacityLimiter(threads)  # never waits, because `run` has waited before

    async def run(self, owner: str, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Run `work` in a thread as soon as the owner may have one."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.add(owner, (owner, turn))
        self._start_next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end(owner)
            raise
        try:
            return await to_thread.run_sync(
                self._work, owner, work, *arguments, limiter=self._limiter
            )
        finally:
            self._end(owner)

    def _work(self, owner: str, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        with self._shares.work(owner):
            return work(*arguments)

    def _may_start(self, owner: str) -> bool:
        return self._has_room(owner) and not self._shares.rest_s(owner)

    def _has_room(self, owner: str) -> bool:
        running = self._running[owner]
        if running >= self._per_owner:
            return False
        return running < HEAVIEST_THREADS or not self._shares.is_heaviest(owner)

    def _start_next(self) -> None:
        while self._running.total() < self._threads:
            waiting = self._waiting.pop(self._may_start)
            if waiting is None:
                break
            owner, turn = waiting
            if not turn.done():  # else its request was cancelled
                turn.set_result(None)
                self._running[owner] += 1
        self._wake_rested()

    def _wake_rested(self) -> None:
        """Set the timer for the first of the owners that wait because of what they have used.

        A rest may have ended since `_start_next` looked: such an owner needs the timer, too.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delays = [
            self._shares.rest_s(owner) if self._has_room(owner) else RECHECK_S
            for owner in self._waiting.owners()
            if self._running[owner] < self._per_owner
        ]
        if delays and self._running.total() < self._threads:
            delay_s = max(MIN_REST_S, min(delays))
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._start_next)

    def _end(self, owner: str) -> None:
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        self._start_next()
