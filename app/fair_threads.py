"""Threads for blocking work of requests, which tenants share in turns."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

from app.fair_shares import FairShares, request_shares
from app.fair_turns import FairTurns

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class FairThreads:
    """A number of threads, of which one owner has at most a part.

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
        self._turns = FairTurns(threads, per_owner, of_heaviest, shares)
        self._shares = shares
        self._limiter = CapacityLimiter(threads)  # never waits, because `run` has waited before

    async def run(self, owner: str, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Run `work` in a thread as soon as the owner may have one."""
        with self._shares.request(owner):
            await self._turns.take(owner)
            try:
                return await to_thread.run_sync(
                    self._shares.run, owner, work, *arguments, limiter=self._limiter
                )
            finally:
                self._turns.end(owner)
