"""Middleware that ends long responses after the API key of their request was revoked or expired."""

import asyncio
import time
from contextlib import suppress

from sqlalchemy.exc import OperationalError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.authentication import Caller
from core import api_keys
from core.database import read

CHECK_INTERVAL_S = 5.0


class KeyValidityMiddleware:
    """Check the key every few seconds while a response is sent; once it is not valid, stop.

    The server then closes the connection, so that the client sees that the response is incomplete.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        checked_at = time.monotonic()

        async def send_while_valid(message: Message) -> None:
            nonlocal checked_at
            caller = scope.get("state", {}).get("caller")
            is_due = time.monotonic() - checked_at >= CHECK_INTERVAL_S
            if message["type"] == "http.response.body" and caller is not None and is_due:
                checked_at = time.monotonic()
                if not await asyncio.to_thread(_is_valid, caller):
                    raise _KeyEnded
            await send(message)

        with suppress(_KeyEnded):
            await self.app(scope, receive, send_while_valid)


class _KeyEnded(Exception):
    pass


def _is_valid(caller: Caller) -> bool:
    with suppress(OperationalError), read() as session:  # must not end responses
        return bool(api_keys.valid_ids(session, [caller.key_id]))
    return True
