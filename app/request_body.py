"""Request bodies of limited size."""

from fastapi import Request
from starlette.types import Message

from core.errors import TooLarge
from core.settings import get_settings


def limit_body(request: Request, limit: int) -> Request:
    """Return a request whose body raises TooLarge when more than `limit` bytes were received.

    Raises:
        TooLarge: The Content-Length header exceeds the limit.
    """
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    if int(request.headers.get("content-length", "0")) > limit:
        raise _too_large(limit)
    return Request(request.scope, receive)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The request body exceeds the limit of {limit} bytes.", code="body_too_large", limit=limit
    )


async def read_body(request: Request) -> bytes:
    """Return the body; raise TooLarge if it exceeds the limit for JSON."""
    return await limit_body(request, get_settings().limits.json_bytes).body()
