"""Request bodies: the key first, then the size limit and strict JSON parsing."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.types import Message

from app import strict_json
from app.authentication import authenticate, requirement
from app.fair_route import FairRoute, route_threads
from app.request_owner import STRANGERS
from core.errors import TooLarge, UnsupportedMedia
from core.settings import get_settings

# Parsed in the event loop, which takes a few milliseconds at most. A body of a megabyte can have
# 100,000 invalid values, which take seconds.
SMALL_BODY_BYTES = 4_096


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


class StrictJsonRoute(FairRoute):
    """Route that checks the key, then parses its JSON body with `app.strict_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, required = super().get_route_handler(), requirement(self.dependant)
        if self.body_field is None:
            return handle

        async def parse_and_handle(request: Request) -> Response:
            owner = STRANGERS
            if required is not None:
                owner = (await required(await authenticate(request, None))).tenant_id
            # FastAPI reads both again, but the stream is consumed then.
            request._body = await read_body(request)
            content_type = request.headers.get("content-type", "").partition(";")[0].strip()
            if request._body and content_type != "application/json":
                raise UnsupportedMedia("The body must be JSON with Content-Type: application/json.")
            if len(request._body) <= SMALL_BODY_BYTES:
                request._json = strict_json.loads(request._body)
            else:
                request._json = await route_threads.run(owner, self._parse, request._body)
            return await handle(request)

        return parse_and_handle

    def _parse(self, body: bytes) -> Any:
        """Return the validated body, whose fields FastAPI does not validate again."""
        document, field = strict_json.loads(body), self.body_field
        if field is None or document is None:
            return document
        value, errors = field.validate(document, loc=("body",))
        if errors:
            raise RequestValidationError(errors, body=document)
        return value
