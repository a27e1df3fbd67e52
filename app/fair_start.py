"""A burst of requests is let in a few at a time.

An event loop takes everything that is ready before it looks for what has come since: a thousand
requests at once, refused ones among them, would keep the next one, and whoever asks whether the
process lives, waiting until the last of them has had its first turn.
"""

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

STARTS_PER_TICK = 8  # requests in one round of the loop
EXEMPT_PATHS = {"/livez", "/readyz"}


class FairStartMiddleware:
    """In order of arrival. Requests on their way through the application are not counted: only
    their beginnings are spread."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._let_in = 0  # in this round

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in EXEMPT_PATHS:
            await self._turn()
        await self.app(scope, receive, send)

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if self._let_in == 0:
            loop.call_soon(self._next_round)
        if self._let_in < STARTS_PER_TICK and not self._waiting:
            self._let_in += 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next_round(self) -> None:
        self._let_in = 0
        while self._waiting and self._let_in < STARTS_PER_TICK:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled, as the process ends
                turn.set_result(None)
                self._let_in += 1
        if self._let_in:
            asyncio.get_running_loop().call_soon(self._next_round)
