"""What holds for every request, below the routes: a request id, allowed hosts, headers, sizes."""

import re
import time
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import error_handlers
from app.request_metrics import request_metrics
from core.errors import BadRequest, SemblanceError, UnsupportedMedia
from core.ids import new_id

_SANE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_HOST = re.compile(r"(?P<name>[\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII)

HTTP_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


class RequestValidationMiddleware:
    """Refuses requests that no route should see, and stamps every answer with its request id."""

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str]) -> None:
        self.app = app
        self.allowed_hosts = {host.lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        scope["request_id"] = given if _SANE_ID.fullmatch(given) else new_id("req")

        started = time.monotonic()

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                _count(scope, message["status"], time.monotonic() - started)
                out = MutableHeaders(scope=message)
                out["x-request-id"] = scope["request_id"]
                for name, value in SECURITY_HEADERS.items():
                    out.setdefault(name, value)
            await send(message)

        if (refusal := self._rejection(scope, headers)) is not None:
            request = Request(scope)
            response = error_handlers.problem_response(
                request, refusal.to_problem(), refusal.headers
            )
            await response(scope, receive, stamped)
            return
        await self.app(scope, receive, stamped)

    def _rejection(self, scope: Scope, headers: Headers) -> SemblanceError | None:
        host = _HOST.fullmatch(headers.get("host", ""))
        if "*" not in self.allowed_hosts and (
            host is None or host["name"].lower() not in self.allowed_hosts
        ):
            return BadRequest("this Host is not served here", code="host_not_allowed")
        if len(headers.getlist("authorization")) > 1:
            return BadRequest("two Authorization headers", code="header_invalid")
        if b"\x00" in scope["path"].encode("utf-8", "surrogatepass"):
            return BadRequest("the path holds the character NUL", code="path_invalid")
        if headers.get("content-encoding", "identity") != "identity":
            return UnsupportedMedia("compressed bodies are not read", code="content_encoding")
        return None


def _count(scope: Scope, status: int, seconds: float) -> None:
    """By the route's pattern: a path may be made up by anybody."""
    method = scope["method"] if scope["method"] in HTTP_METHODS else "other"
    request_metrics.record(method, getattr(scope.get("route"), "path", "none"), status, seconds)
