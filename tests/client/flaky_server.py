"""HTTP server whose responses a test writes, byte for byte, to break them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    """A request that the server received."""

    method: str
    path: str
    headers: dict[str, str]


# Writes the response to a request; returning early closes the connection.
Respond = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class FlakyServer:
    """Server that answers with `script` in order; the last entry answers everything after."""

    url: str
    script: list[Respond] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)


def respond(
    status: int = 200, body: bytes = b"{}", cut_after: int | None = None, **headers: str
) -> Respond:
    """Return a response whose connection is cut after `cut_after` bytes of the body."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body if cut_after is None else body[:cut_after])

    return write


def hang_up(_handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a response."""


@contextmanager
def flaky_server(*script: Respond) -> Iterator[FlakyServer]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.received.append(
                Received(
                    self.command,
                    self.path,
                    {name.lower(): value for name, value in self.headers.items()},
                )
            )
            next_response = state.script.pop(0) if len(state.script) > 1 else state.script[0]
            next_response(self)
            self.close_connection = True

        do_GET = do_POST = do_DELETE = do_PUT = handle_any  # noqa: N815 - names of the library

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = FlakyServer(f"http://127.0.0.1:{server.server_port}", list(script))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
