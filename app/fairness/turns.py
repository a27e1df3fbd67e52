"""Turns of tenants: which of the requests that wait may go on, for example in a thread.

Without them, work is done in order of arrival: the parts of a hundred uploads of one tenant would
take all threads, and all other requests would wait behind them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

from app.fairness.queue import FairQueue
from app.fairness.shares import FairShares, request_shares

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

RECHECK_S = 0.1  # after this time, an owner with few turns may no longer be the heaviest


class FairTurns:
    """A number of turns that can be held at once, of which one owner has at most a part.

    Owners that wait are served in turn. One that has to rest (`FairShares`) waits until it has
    rested, and the heaviest one holds at most `of_heaviest` turns.
    """

    def __init__(
        self,
        limit: int,
        per_owner: int,
        of_heaviest: int,
        shares: FairShares = request_shares,
    ) -> None:
        self._limit, self._per_owner, self._of_heaviest = limit, per_owner, of_heaviest
        self._shares = shares
        self._held: Counter[str] = Counter()
        self._waiting: FairQueue[tuple[str, asyncio.Future[None]]] = FairQueue()
        self._recheck: asyncio.TimerHandle | None = None

    async def take(self, owner: str) -> None:
        """Wait for a turn, which the owner holds until `end`."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.add(owner, (owner, turn))
        self._start_next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.end(owner)
            raise

    def end(self, owner: str) -> None:
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._start_next()

    def _start_next(self) -> None:
        if self._recheck is not None:
            self._recheck.cancel()
            self._recheck = None
        while self._held.total() < self._limit:
            waiting = self._waiting.pop(self._may_start)
            if waiting is None:
                break
            owner, turn = waiting
            if not turn.done():  # else its request was cancelled
                turn.set_result(None)
                self._held[owner] += 1
        if self._waiting:
            rests = map(self._shares.rest_s, self._waiting.owners())
            delay_s = min(rest_s or RECHECK_S for rest_s in rests)
            self._recheck = asyncio.get_running_loop().call_later(delay_s, self._start_next)

    def _may_start(self, owner: str) -> bool:
        held = self._held[owner]
        if held >= self._per_owner or self._shares.rest_s(owner):
            return False
        return held < self._of_heaviest or not self._shares.is_heaviest(owner)


class FairThreads(FairTurns):
    """Threads for blocking work of requests; an owner has one for each of its turns.

    Each thread that runs Python delays the others at the interpreter lock, so the heaviest owner
    has one, unless its threads mostly wait: then `of_heaviest` allows more.
    """

    def __init__(
        self,
        threads: int,
        per_owner: int,
        of_heaviest: int = 1,
        shares: FairShares = request_shares,
    ) -> None:
        super().__init__(threads, per_owner, of_heaviest, shares)
        self._limiter = CapacityLimiter(threads)  # never waits, because `run` has waited before

    async def run(self, owner: str, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Run `work` in a thread as soon as the owner may have one."""
        with self._shares.request(owner):
            await self.take(owner)
            try:
                return await to_thread.run_sync(
                    self._shares.run, owner, work, *arguments, limiter=self._limiter
                )
            finally:
                self.end(owner)
