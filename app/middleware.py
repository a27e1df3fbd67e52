"""Middleware for every request: request id, header checks, security headers, metrics and log."""

import logging
import re
import time
from collections.abc import Collection
from contextlib import nullcontext
from typing import Any
from urllib.parse import unquote_plus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import error_handlers
from app.request_metrics import RequestMetrics
from core import tracing
from core.errors import BadRequest, SemblanceError, UnsupportedMedia
from core.ids import new_id
from core.text import has_control_characters, is_name

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_HOST = re.compile(r"(?P<name>[\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII)

log = logging.getLogger(__name__)

HEALTH_CHECKS = {"/livez", "/readyz"}
UNTRACED = HEALTH_CHECKS | {"/metrics"}
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class RequestValidationMiddleware:
    """Reject malformed requests, and add the request id and security headers to responses.

    Log records of the request have its id and that of its trace.
    """

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: Collection[str],
        metrics: RequestMetrics,
        *,
        access_log: bool = False,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.access_log = access_log
        self.allowed_hosts = {host.lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.monotonic()
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        scope["request_id"] = request_id if _REQUEST_ID.fullmatch(request_id) else new_id("req")
        ids, parent = {"request_id": scope["request_id"]}, headers.get("traceparent")
        is_traced = scope["path"] not in UNTRACED
        with (
            tracing.span(scope["method"], ids, parent=parent) if is_traced else nullcontext()
        ) as span:

            async def send_with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    seconds = time.monotonic() - started
                    self.metrics.record(scope, message["status"], seconds)
                    if span is not None:
                        _describe(span, scope, message["status"])
                    if self.access_log and scope["path"] not in HEALTH_CHECKS:
                        _log_request(scope, message["status"], seconds)
                    response_headers = MutableHeaders(scope=message)
                    response_headers["x-request-id"] = scope["request_id"]
                    quota_headers = scope.get("state", {}).get("quota_headers", {})
                    for name, value in (SECURITY_HEADERS | quota_headers).items():
                        response_headers.setdefault(name, value)
                await send(message)

            if (error := self._find_error(scope, headers)) is None:
                await self.app(scope, receive, send_with_headers)
            else:
                problem = error.to_problem()
                response = error_handlers.problem_response(Request(scope), problem, error.headers)
                await response(scope, receive, send_with_headers)

    def _find_error(self, scope: Scope, headers: Headers) -> SemblanceError | None:
        host = _HOST.fullmatch(headers.get("host", ""))
        is_probe = scope["path"] in HEALTH_CHECKS  # orchestrators use the address of the container
        if not (is_probe or "*" in self.allowed_hosts) and (
            host is None or host["name"].lower() not in self.allowed_hosts
        ):
            return BadRequest(
                "The server does not accept this Host header. Its setting `allowed_hosts` lists "
                "the accepted hosts.",
                code="host_not_allowed",
            )
        if len(headers.getlist("authorization")) > 1:
            return BadRequest(
                "The request has more than one Authorization header. Send one.",
                code="header_invalid",
            )
        if not is_name(scope["path"]):
            return BadRequest("The path contains control characters.", code="path_invalid")
        query = unquote_plus(scope["query_string"].decode("latin-1"), errors="surrogateescape")
        if has_control_characters(query):  # of which databases cannot store all
            return BadRequest(
                "The query contains control characters or is not UTF-8.", code="text_invalid"
            )
        if headers.get("content-encoding", "identity") != "identity":
            return UnsupportedMedia(
                "Compressed request bodies are not supported. Send the body without a "
                "Content-Encoding.",
                code="content_encoding",
            )
        return None


def _describe(span: Any, scope: Scope, status: int) -> None:
    route = getattr(scope.get("route"), "path", "none")
    span.update_name(f"{scope['method']} {route}")
    span.set_attributes(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": status,
        }
    )


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    """Log a request when its response begins, without its query, which may have data."""
    fields = {
        "request_id": scope["request_id"],
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "duration_ms": round(1_000 * seconds, 1),
        "client": (scope.get("client") or [None])[0],
    }
    log.info("request", extra=fields)
