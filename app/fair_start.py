"""Middleware that starts a few requests per event-loop iteration during bursts.

The event loop runs every ready task before it polls for new connections. Without the limit, a burst
of a thousand requests, including rejected ones, delays new requests and health checks until all of
them have started: without this module, the 99th percentile of /livez is five times as high
(bench/sampling.md). Tenants take turns, so that one does not wait for all requests of another, and
rest here first: a request that has not started costs nothing.
"""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from app.fair_queue import FairQueue
from app.fair_shares import FairShares, request_shares
from app.middleware import HEALTH_CHECKS
from app.request_owner import owner_of

STARTS_PER_TICK = 8


class FairStartMiddleware:
    """Start at most STARTS_PER_TICK requests per event-loop iteration, tenants in turn.

    The number of requests in progress is not limited. The event loop's work for a request is
    charged to its tenant.
    """

    def __init__(self, app: ASGIApp, shares: FairShares = request_shares) -> None:
        self.app, self._shares = app, shares
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._started = 0  # in this iteration
        self._rest: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH_CHECKS:
            await self.app(scope, receive, send)
            return
        owner, may_start = owner_of(scope), asyncio.get_running_loop().create_future()
        self._waiting.add(owner, may_start)
        self._start_next()
        await may_start
        await self._shares.charge(owner, self.app(scope, receive, send))

    def _start_next(self) -> None:
        loop, is_first = asyncio.get_running_loop(), self._started == 0
        while self._started < STARTS_PER_TICK and (may_start := self._waiting.pop(self._may_start)):
            if not may_start.done():  # else its request was cancelled
                may_start.set_result(None)
                self._started += 1
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if is_first and self._started:
            loop.call_soon(self._next_iteration)
        elif self._waiting and not self._started:
            rest_s = min(map(self._shares.rest_s, self._waiting.owners()))
            self._rest = loop.call_later(rest_s, self._start_next)

    def _may_start(self, owner: str) -> bool:
        return not self._shares.rest_s(owner)

    def _next_iteration(self) -> None:
        self._started = 0
        self._start_next()
