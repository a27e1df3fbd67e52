"""Middleware that starts a few requests per event-loop iteration during bursts.

The event loop runs every ready task before it polls for new connections. Without the limit, a burst
of a thousand requests, including rejected ones, delays new requests and health checks until all of
them have started: without this module, the 99th percentile of /livez is five times as high
(bench/sampling.md). Tenants take turns, so that one does not wait for all requests of another.
"""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from app.fair_queue import FairQueue
from app.middleware import HEALTH_CHECKS
from app.request_owner import owner_of

STARTS_PER_TICK = 8


class FairStartMiddleware:
    """Start at most STARTS_PER_TICK requests per event-loop iteration, tenants in turn.

    The number of requests in progress is not limited.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._started = 0  # in this iteration

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in HEALTH_CHECKS:
            loop = asyncio.get_running_loop()
            if self._started == 0:
                loop.call_soon(self._start_next)
            if self._started < STARTS_PER_TICK and not self._waiting:
                self._started += 1
            else:
                may_start = loop.create_future()
                self._waiting.add(owner_of(scope), may_start)
                await may_start
        await self.app(scope, receive, send)

    def _start_next(self) -> None:
        self._started = 0
        while self._started < STARTS_PER_TICK and (may_start := self._waiting.pop()):
            if not may_start.done():  # a shutdown cancels waiting requests
                may_start.set_result(None)
                self._started += 1
        if self._started:
            asyncio.get_running_loop().call_soon(self._start_next)
