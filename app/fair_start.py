"""Middleware that starts a few requests per event-loop iteration during bursts.

The event loop runs every ready task before it polls for new connections. Without the limit, a burst
of a thousand requests, including rejected ones, delays new requests and health checks until all of
them have started: without this module, the 99th percentile of /livez is five times as high
(bench/sampling.md).
"""

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

from app.middleware import HEALTH_CHECKS

STARTS_PER_TICK = 8


class FairStartMiddleware:
    """Start at most STARTS_PER_TICK requests per event-loop iteration, in order of arrival.

    The number of requests in progress is not limited.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._waiting: deque[asyncio.Future[None]] = deque()
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
                self._waiting.append(may_start)
                await may_start
        await self.app(scope, receive, send)

    def _start_next(self) -> None:
        self._started = 0
        while self._waiting and self._started < STARTS_PER_TICK:
            may_start = self._waiting.popleft()
            if not may_start.done():  # a shutdown cancels waiting requests
                may_start.set_result(None)
                self._started += 1
        if self._started:
            asyncio.get_running_loop().call_soon(self._start_next)
