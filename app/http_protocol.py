"""Uvicorn's HTTP protocol with limits on what a connection may cost before a key is checked.

The parser collects headers without a limit, and Uvicorn waits for the rest of a request or for a
slow reader for as long as the client likes. This protocol limits the size and number of headers,
the number of connections, in all and of each address, and the time to send a request and to read
a response.
"""

import asyncio
import ipaddress
import json
import resource
from collections import Counter
from collections.abc import Collection
from http import HTTPStatus
from typing import Any, ClassVar
from weakref import WeakSet

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from core.ids import new_id

MAX_URL_BYTES = 8_192
MAX_SHOWN_PATH_BYTES = 1_024
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32_768  # of all headers of a request
# Bytes on the wire that are not the body: the request line and headers, and the frames of chunks.
# A chunk of one byte has a frame of five.
MAX_OVERHEAD_BYTES = 65_536
MAX_OVERHEAD_PER_BODY_BYTE = 8

HEADERS_TIMEOUT_S = 10.0  # from the connection, or the first byte of a request, to its last header
BODY_PAUSE_S = 15.0  # time without a byte of the body, while the service waits for it
MIN_BODY_RATE = 1_024  # bytes per second, on average, after the first pause
WRITE_TIMEOUT_S = 30.0  # to read what the service has buffered, at most 64 KiB
IDLE_TIMEOUT_S = 30.0  # between two requests
LINGER_S = 2.0  # after a rejection: closing at once could destroy the response on its way
CHECK_INTERVAL_S = 1.0
RESERVED_DESCRIPTORS = 256  # for the database, files and child processes


class BoundedHttpProtocol(HttpToolsProtocol):
    """HTTP protocol whose clients are limited in bytes, connections and time."""

    max_connections: ClassVar[int] = 2_048
    max_connections_per_address: ClassVar[int] = 1_024
    # Connections of proxies come from many clients, so only the limit of all applies to them.
    proxies: ClassVar[Collection[str]] = ()
    _by_address: ClassVar[Counter[str]] = Counter()
    _monitored: ClassVar[WeakSet[ServerState]] = WeakSet()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._address: str | None = None  # as counted
        self._waiting_since = self.loop.time()  # for a request, or for its last header
        self._overhead_bytes = self._body_bytes = self._header_bytes = 0
        self._in_headers = True  # the request line and headers are not complete
        self._in_message = False  # a request has begun and is not complete
        self._body_wait_s = self._body_pause_s = 0.0
        self._write_paused_at: float | None = None
        self._closing_since: float | None = None
        self._rejected = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_monitor()
        address = self.client[0] if self.client else ""
        if not _is_proxy(address, self.proxies):
            self._address = address
            self._by_address[address] += 1
        if self._address is not None and (
            self._by_address[address] > self.max_connections_per_address
        ):
            self._make_room(address)
        if len(self.connections) > self.max_connections:
            self._make_room(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None:
            self._by_address[self._address] -= 1
            if not self._by_address[self._address]:
                del self._by_address[self._address]
            self._address = None
        super().connection_lost(exc)

    def _make_room(self, address: str | None) -> None:
        """Close the connection that has waited longest without a request; else this one."""
        idle = [
            connection
            for connection in self.connections
            if isinstance(connection, BoundedHttpProtocol)
            and connection is not self
            and connection.is_idle
            and (address is None or connection._address == address)
        ]
        if idle:
            oldest = min(idle, key=lambda connection: connection._waiting_since)
            oldest._rejected = True
            oldest.transport.abort()
        else:
            self._reject(503, "connections", "The server has too many connections. Retry later.")

    @property
    def is_idle(self) -> bool:
        """True if no complete head of a request waits for a response."""
        has_request = self.cycle is not None and not self.cycle.response_complete
        return not has_request and not self._rejected

    def data_received(self, data: bytes) -> None:
        if self._rejected:
            return
        self._unset_keepalive_if_required()  # instead, `check_times` limits the time
        self._overhead_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            if not self._rejected:
                self._reject(400, "request_invalid", "The request line is not valid.")
        except httptools.HttpParserError:
            self._reject(400, "request_invalid", "The request is not valid HTTP.")
        except httptools.HttpParserUpgrade:
            pass  # a server may ignore the wish for another protocol (RFC 9110, 7.8)
        allowed = MAX_OVERHEAD_BYTES + MAX_OVERHEAD_PER_BODY_BYTE * self._body_bytes
        if self._overhead_bytes > allowed and not self._rejected:
            self._reject(431, "headers_too_large", "The headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._waiting_since = self.loop.time()
        self._overhead_bytes = self._body_bytes = self._header_bytes = 0
        self._in_message = self._in_headers = True
        self._body_wait_s = self._body_pause_s = 0.0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            limit = f"The URL is longer than {MAX_URL_BYTES} bytes."
            self._reject(414, "url_too_long", limit)
            raise ValueError(limit)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > MAX_HEADER_BYTES or len(self.headers) >= MAX_HEADERS:
            limit = f"A request may have {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes in all."
            self._reject(431, "headers_too_large", limit)
            raise ValueError(limit)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead_bytes -= len(body)
        self._body_bytes += len(body)
        self._body_pause_s = 0.0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._waiting_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._write_paused_at = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_paused_at = None
        super().resume_writing()

    def _start_monitor(self) -> None:
        """Check all connections of the server at intervals, with one timer for all of them."""
        if self.server_state not in self._monitored:
            self._monitored.add(self.server_state)
            self.loop.call_later(CHECK_INTERVAL_S, self._check_all)

    def _check_all(self) -> None:
        for connection in list(self.connections):
            if isinstance(connection, BoundedHttpProtocol):
                connection.check_times(self.loop.time())
        if self.connections:
            self.loop.call_later(CHECK_INTERVAL_S, self._check_all)
        else:
            self._monitored.discard(self.server_state)

    def check_times(self, now: float) -> None:
        """End the connection if its client takes longer than the limits."""
        if self._closing_since is None and (self._rejected or self.transport.is_closing()):
            self._closing_since = now
        if self._closing_since is not None:
            if now - self._closing_since > (LINGER_S if self._rejected else WRITE_TIMEOUT_S):
                self.transport.abort()  # closing would wait until all that is buffered is sent
        elif self._write_paused_at is not None:
            if now - self._write_paused_at > WRITE_TIMEOUT_S:
                self._rejected = True
                self.transport.abort()
        elif self.is_idle:
            # Also the rest of a request that was answered before it was complete.
            limit_s = (
                HEADERS_TIMEOUT_S if self._in_message or self.cycle is None else IDLE_TIMEOUT_S
            )
            if now - self._waiting_since > limit_s:
                self._reject(408, "request_timeout", "The request did not arrive in time.")
        elif self._in_message and not self._in_headers and not self.flow.read_paused:
            self._body_wait_s += CHECK_INTERVAL_S
            self._body_pause_s += CHECK_INTERVAL_S
            allowed_s = BODY_PAUSE_S + self._body_bytes / MIN_BODY_RATE
            if self._body_pause_s > BODY_PAUSE_S or self._body_wait_s > allowed_s:
                self._reject(408, "request_timeout", "The body did not arrive in time.")

    def _reject(self, status: int, code: str, detail: str) -> None:
        """Answer with a problem document, unless a response has begun, and close the connection."""
        self._rejected = True
        has_begun = self.cycle is not None and (
            self.cycle.response_started and not self.cycle.response_complete
        )
        # A client that has sent nothing, or is between two requests, waits for no response.
        if not has_begun and (self._in_message or status == 503):
            title = HTTPStatus(status).phrase
            kind = f"urn:semblance:problem:{code}"
            path = self.url.partition(b"?")[0][:MAX_SHOWN_PATH_BYTES] if self._in_message else b"/"
            request_id = new_id("req")
            problem = {
                "type": kind,
                "title": title,
                "status": status,
                "detail": detail,
                "code": code,
                "retryable": status in {408, 503},
                "instance": path.decode("ascii", "replace"),
                "request_id": request_id,
            }
            body = json.dumps(problem).encode()
            head = (
                f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
                f"x-request-id: {request_id}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.flow.resume_reading()
        if self.cycle is not None:  # the application stops to wait for the body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()


def _is_proxy(address: str, proxies: Collection[str]) -> bool:
    """Return True if an address, network or `*` of `proxies` is or has the address."""
    if not proxies or not address:
        return False
    client = ipaddress.ip_address(address)
    return any(proxy == "*" or client in ipaddress.ip_network(proxy) for proxy in proxies)


def allowed_connections(maximum: int) -> int:
    """Raise the limit on open files for `maximum` connections; return the number that it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = maximum + RESERVED_DESCRIPTORS
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(maximum, soft - RESERVED_DESCRIPTORS))
