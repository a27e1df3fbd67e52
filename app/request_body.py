"""Request bodies: size limit and strict JSON parsing."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope

from app import strict_json
from app.authentication import authenticate
from core.errors import SemblanceError, TooLarge, UnsupportedMedia
from core.settings import get_settings


def limit_body(request: Request, limit: int) -> Request:
    """Return a request whose body raises TooLarge when more than `limit` bytes were received.

    Raises:
        TooLarge: The Content-Length header exceeds the limit.
    """
    error = TooLarge(
        f"The request body exceeds the limit of {limit} bytes.", code="body_too_large", limit=limit
    )
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise error
        return message

    if int(request.headers.get("content-length", "0")) > limit:
        raise error
    return Request(request.scope, receive)


async def read_body(request: Request) -> bytes:
    """Return the body; raise TooLarge if it exceeds the limit for JSON."""
    return await limit_body(request, get_settings().limits.json_bytes).body()


class ParsedRequest(Request):
    """Request whose JSON body is already parsed."""

    def __init__(self, scope: Scope, receive: Receive, parsed: Any) -> None:
        super().__init__(scope, receive)
        self._parsed = parsed

    async def json(self) -> Any:
        return self._parsed


def _parse(request: Request, body: bytes) -> Any:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if body and content_type != "application/json":
        raise UnsupportedMedia("The body must be JSON with Content-Type: application/json.")
    return strict_json.loads(body)


class StrictJsonRoute(APIRoute):
    """Route that parses its JSON body with `app.strict_json` instead of FastAPI's parser."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def parse_and_handle(request: Request) -> Response:
            try:
                body = await read_body(request)
                parsed = _parse(request, body)
            except SemblanceError:
                # Dependencies have not run yet, and a missing API key takes precedence over an
                # invalid body.
                await authenticate(request, None)
                raise
            parsed_request = ParsedRequest(request.scope, request.receive, parsed)
            parsed_request._body = body  # FastAPI reads the body again, but the stream is consumed
            return await handle(parsed_request)

        return parse_and_handle
