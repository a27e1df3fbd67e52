"""Limits on connections: sizes, numbers and times, without a key, against a real server."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from app import error_handlers, http_protocol
from app.http_protocol import BoundedHttpProtocol
from app.schemas.problem import Problem
from tests.peak_memory import peak_memory_below
from tests.processes import TIMEOUT_S, eventually

HEAD = b"GET / HTTP/1.1\r\nhost: localhost\r\n"
# A busy machine may stop a client for seconds, so they are long until a test shortens them.
LIMITS_S = ("HEADERS_TIMEOUT_S", "IDLE_TIMEOUT_S", "BODY_PAUSE_S", "WRITE_TIMEOUT_S", "LINGER_S")


async def hello(request: Request) -> Response:
    size = len(await request.body())
    return PlainTextResponse(f"{size} bytes")


async def endless(_request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b"x" * 65_536

    return StreamingResponse(chunks())


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve two routes in a thread; return the port."""
    routes = [Route("/", hello, methods=["GET", "POST"]), Route("/endless", endless)]
    app = FastAPI(routes=routes)
    error_handlers.install(app)  # a client that leaves is no error
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        http=BoundedHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_protocol, "CHECK_INTERVAL_S", 0.05)
        for name in LIMITS_S:
            patch.setattr(http_protocol, name, TIMEOUT_S)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        thread.join()


@contextmanager
def connect(port: int, *, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_connection(
        ("127.0.0.1", port), TIMEOUT_S, source_address=(source, 0)
    ) as client:
        yield client


def read_all(client: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection."""
    received = b""
    try:
        while chunk := client.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def problem(response: bytes) -> tuple[int, str]:
    head, _, body = response.partition(b"\r\n\r\n")
    document = Problem.model_validate_json(body)
    assert f"x-request-id: {document.request_id}".encode() in head
    return int(head.split()[1]), document.code


def send(client: socket.socket, data: bytes) -> None:
    # The server may close the connection before everything is sent.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(data)


@pytest.mark.parametrize(
    ("request_head", "status", "code"),
    [
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n", 414, "url_too_long"),
        (HEAD + b"a: b\r\n" * 101, 431, "headers_too_large"),
        (HEAD + b"a: " + b"b" * 33_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (HEAD + b"a: " + b"b" * 300_000, 431, "headers_too_large"),
        (HEAD.replace(b"GET", b"POST") + b"transfer-encoding: chunked\r\n\r\n"
         + b"1;" + b"x" * 300_000, 431, "headers_too_large"),
        (b"nonsense\r\n\r\n", 400, "request_invalid"),
    ],
)  # fmt: skip
def test_a_request_with_too_large_a_head_is_rejected(
    port: int, request_head: bytes, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(port) as client:
        send(client, request_head)
        assert problem(read_all(client)) == (status, code)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_64_mb_of_small_headers_are_rejected_with_little_memory(port: int) -> None:
    with connect(port) as client, peak_memory_below(32):
        send(client, HEAD)
        for _ in range(64):
            send(client, b"a: b\r\n" * 174_763)  # a MiB
        assert problem(read_all(client)) == (431, "headers_too_large")


def test_a_wish_for_another_protocol_is_ignored(port: int) -> None:
    with connect(port) as client:
        send(client, HEAD + b"connection: upgrade, close\r\nupgrade: websocket\r\n\r\n")
        assert read_all(client).endswith(b"0 bytes")


def test_a_large_body_in_tiny_chunks_is_accepted(port: int) -> None:
    head = HEAD.replace(b"GET", b"POST") + b"connection: close\r\n"
    with connect(port) as client:
        send(client, head + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000)
        send(client, b"0\r\n\r\n")
        assert read_all(client).endswith(b"50000 bytes")


@pytest.mark.parametrize(
    ("sent", "drip"),
    [
        (b"", b""),  # silent
        (b"", b"\r\n"),  # empty lines, before any request
        (HEAD, b"a"),  # a header that never ends
        (HEAD + b"content-length: 9999\r\n\r\n", b""),  # a body that does not come
        (HEAD + b"content-length: 9999\r\n\r\n", b"x"),  # a body that never ends
        (HEAD + b"\r\n", b""),  # a client that keeps the connection after its response
        (HEAD + b"\r\n", b"\r\n"),
    ],
)
def test_a_client_that_does_not_send_a_request_is_disconnected(
    port: int, sent: bytes, drip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventually(lambda: not connections())
    with connect(port) as client:
        send(client, sent)
        eventually(lambda: [c for c in connections() if c._in_message or c.cycle or not sent])
        for name in ("HEADERS_TIMEOUT_S", "IDLE_TIMEOUT_S", "BODY_PAUSE_S"):
            monkeypatch.setattr(http_protocol, name, 0.3)
        client.settimeout(0.02)
        deadline, received = time.monotonic() + TIMEOUT_S, b""
        while time.monotonic() < deadline:
            try:
                if not (chunk := client.recv(65_536)):
                    break
                received += chunk
            except TimeoutError:
                send(client, drip)
            except ConnectionResetError:
                break
        assert time.monotonic() < deadline
        if sent and not sent.endswith(b"\r\n\r\n"):
            assert problem(received) == (408, "request_timeout")


def connections() -> list[BoundedHttpProtocol]:
    states = list(BoundedHttpProtocol._monitored)
    return [c for state in states for c in list(state.connections)]


def test_a_stalled_reader_is_disconnected(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    eventually(lambda: not connections())
    with connect(port) as client:
        send(client, b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n")
        eventually(lambda: connections() and connections()[0]._write_paused_at is not None)
        monkeypatch.setattr(http_protocol, "WRITE_TIMEOUT_S", 0.3)
        eventually(lambda: not connections())


def test_at_the_limit_of_connections_an_idle_one_makes_room(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventually(lambda: not connections())
    monkeypatch.setattr(BoundedHttpProtocol, "max_connections_per_address", 3)
    with connect(port) as first:
        send(first, HEAD)  # half a request
        eventually(lambda: any(c._in_message for c in connections()))
        with (
            connect(port),
            connect(port, source="127.0.0.2") as other,
            connect(port) as third,
            connect(port) as fourth,
        ):
            assert read_all(first) == b""  # it has waited longest
            for client in (third, fourth, other):
                send(client, HEAD + b"connection: close\r\n\r\n")
                assert read_all(client).endswith(b"0 bytes")


def test_over_the_limit_of_connections_that_are_served_a_new_one_is_rejected(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventually(lambda: not connections())
    monkeypatch.setattr(BoundedHttpProtocol, "max_connections", 1)
    with connect(port) as served:
        send(served, b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n")
        served.recv(1)
        with connect(port) as late:
            assert problem(read_all(late)) == (503, "connections")
