"""Middleware that starts a few requests per event-loop iteration during bursts.

The event loop runs every ready task before it polls for new connections. Without the limit, a burst
of a thousand requests, including rejected ones, delays new requests and health checks until all of
them have started: without this module, the 99th percentile of /livez is five times as high
(bench/sampling.md). Tenants take turns, so that one does not wait for all requests of another, and
rest here first: a request that has not started costs nothing.
"""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from app.fairness.shares import FairShares, request_shares
from app.fairness.turns import FairTurns
from app.middleware import HEALTH_CHECKS
from app.request_owner import owner_of

STARTS_PER_TICK = 8


class FairStartMiddleware:
    """Start at most STARTS_PER_TICK requests per event-loop iteration, tenants in turn.

    The number of requests in progress is not limited.
    """

    def __init__(self, app: ASGIApp, shares: FairShares = request_shares) -> None:
        self.app, self._shares = app, shares
        self._turns = FairTurns(STARTS_PER_TICK, STARTS_PER_TICK, STARTS_PER_TICK, shares)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH_CHECKS:
            await self.app(scope, receive, send)
            return
        owner = owner_of(scope)
        with self._shares.request(owner):
            await self._turns.take(owner)
        asyncio.get_running_loop().call_soon(self._turns.end, owner)
        await self.app(scope, receive, send)
