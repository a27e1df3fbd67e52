"""Routes whose JSON bodies are read by app.strict_json, and refused by name when they are not JSON."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.types import Message, Receive, Scope

from app import strict_json
from app.authentication import authenticate
from core.errors import SemblanceError, TooLarge, UnsupportedMedia
from core.settings import get_settings


class RequestModel(BaseModel):
    """The base of every request body: unknown fields and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def limit_body(request: Request, limit: int) -> Request:
    """The request, whose body raises TooLarge once it has more than `limit` bytes."""
    error = TooLarge(f"the body may have {limit} bytes", code="body_too_large", limit=limit)
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
    """A JSON body, within its limit."""
    return await limit_body(request, get_settings().limits.json_bytes).body()


class ParsedRequest(Request):
    def __init__(self, scope: Scope, receive: Receive, parsed: Any) -> None:
        super().__init__(scope, receive)
        self._parsed = parsed

    async def json(self) -> Any:
        return self._parsed


def _parse(request: Request, body: bytes) -> Any:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if body and content_type != "application/json":
        raise UnsupportedMedia("send JSON, as Content-Type: application/json")
    return strict_json.loads(body)


class StrictJsonRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read_first(request: Request) -> Response:
            try:
                body = await read_body(request)
                parsed = _parse(request, body)
            except SemblanceError:
                # The key comes first: the dependencies have not been asked yet.
                await authenticate(request, None)
                raise
            strict = ParsedRequest(request.scope, request.receive, parsed)
            strict._body = body  # the stream is read; FastAPI asks for the body once more
            return await handle(strict)

        return read_first
