"""HEAD, OPTIONS, `Allow`, trailing slashes and conditional requests (RFC 9110), for all routes.

Routes handle GET and the methods that change something, and set an `ETag` where content has one.
"""

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class HttpMethodsMiddleware:
    """Answer HEAD like GET without the body, OPTIONS with `Allow`, and If-None-Match with 304."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self.routes = [route for route in routes if isinstance(route, Route)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if path != "/" and path.endswith("/") and not self._find_methods(scope):
            scope["path"] = path.rstrip("/") or "/"
        if scope["method"] == "OPTIONS" and (allowed := self._find_methods(scope)):
            await _send_options(send, _format(allowed))
            return
        is_head = scope["is_head"] = scope["method"] == "HEAD"
        if is_head:
            scope["method"] = "GET"
            scope["headers"] = [item for item in scope["headers"] if item[0] != b"range"]
        # Comparing the path with all routes takes longer than a short response.
        find_allowed = partial(self._find_methods, dict(scope))
        sender = _Sender(send, scope, find_allowed, is_head=is_head)
        try:
            await self.app(scope, receive, sender.send)
        except _ResponseSent:
            pass
        except ExceptionGroup as errors:
            _, others = errors.split(_ResponseSent)
            if others is not None:
                raise others from None

    def _find_methods(self, scope: Scope) -> set[str]:
        """Return the methods of the path, such as `/v1/keys/self`, or of the template it fits."""
        matching = [route for route in self.routes if route.matches(scope)[0] is not Match.NONE]
        fewest_parameters = min((len(route.param_convertors) for route in matching), default=0)
        return {
            method
            for route in matching
            if len(route.param_convertors) == fewest_parameters
            for method in route.methods or ()
        }


def _format(methods: set[str]) -> str:
    implied = {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    return ", ".join(method for method in METHODS if method in methods | implied)


async def _send_options(send: Send, allow: str) -> None:
    headers = [(b"allow", allow.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class _ResponseSent(Exception):
    """The response to HEAD or a conditional request is complete, so its stream can stop."""


class _Sender:
    """Sends a response, without its body if the request asks for that."""

    def __init__(
        self, send: Send, scope: Scope, find_allowed: Callable[[], set[str]], *, is_head: bool
    ) -> None:
        self._send, self._find_allowed = send, find_allowed
        # Of a request that changes something, the response is more than a copy of content.
        is_get = scope["method"] == "GET"
        self._if_none_match = Headers(scope=scope).get("if-none-match") if is_get else None
        self._without_body = is_head

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if message["status"] == 405:
                headers["allow"] = _format(self._find_allowed())
            if _is_unchanged(message["status"], self._if_none_match, headers.get("etag")):
                self._without_body = True
                message["status"] = 304
                for name in ("content-length", "content-type", "content-disposition"):
                    del headers[name]
            await self._send(message)
            if self._without_body:
                await self._send({"type": "http.response.body", "body": b""})
        elif not self._without_body:
            await self._send(message)
        elif message.get("more_body"):
            raise _ResponseSent


def sends_content(request: Request, response: Response) -> bool:
    """Return True if the client of a GET will receive the body: not for HEAD, nor with a 304."""
    if_none_match, etag = request.headers.get("if-none-match"), response.headers.get("etag")
    is_unchanged = _is_unchanged(response.status_code, if_none_match, etag)
    return not (request.scope["is_head"] or is_unchanged)


def _is_unchanged(status: int, if_none_match: str | None, etag: str | None) -> bool:
    return status == 200 and is_match(if_none_match, etag)


def etag_of(content: bytes) -> str:
    return f'"{sha256(content).hexdigest()[:32]}"'


def is_match(header: str | None, etag: str | None) -> bool:
    """Return True if If-None-Match lists the ETag, by weak comparison (RFC 9110, 13.1.2)."""
    if header is None or etag is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag.removeprefix("W/") in tags
