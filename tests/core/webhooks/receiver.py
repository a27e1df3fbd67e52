"""An HTTP server on this machine that records the webhook messages it receives."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.processes import TIMEOUT_S

Respond = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Received:
    path: str
    headers: Message
    body: bytes

    @property
    def id(self) -> str:
        return str(self.headers["webhook-id"])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Verify the signature as Standard Webhooks 1.0.0 says, without the code of `core`."""
        timestamp = self.headers["webhook-timestamp"]
        if abs(time.time() - int(timestamp)) > 300:
            return False
        key = base64.b64decode(secret.split("_", 1)[1])
        signed_content = b".".join([self.id.encode(), timestamp.encode(), self.body])
        expected = base64.b64encode(hmac.new(key, signed_content, hashlib.sha256).digest()).decode()
        versions = [text.split(",", 1) for text in self.headers["webhook-signature"].split(" ")]
        return any(version == "v1" and text == expected for version, text in versions)


def status(code: int, **headers: str) -> Respond:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


class Receiver:
    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.answer: Respond = status(204)
        self.active = self.max_active = 0
        self.released = threading.Event()
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver._count_active():
                    receiver.received.append(Received(self.path, self.headers, body))
                    receiver.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # tests close connections early on purpose

        self._server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @contextmanager
    def _count_active(self) -> Iterator[None]:
        with self._lock:
            self.active += 1
            self.max_active = max(self.max_active, self.active)
        try:
            yield
        finally:
            with self._lock:
                self.active -= 1

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def hang(self, handler: BaseHTTPRequestHandler) -> None:
        """Send no response until the test sets `released`; set it after TIMEOUT_S."""
        self.released.wait(TIMEOUT_S)
        self.released.set()
        handler.close_connection = True

    def drip(self, handler: BaseHTTPRequestHandler, begin: bytes) -> None:
        """Send `begin`, then byte by byte; set `released` after TIMEOUT_S."""
        handler.wfile.write(begin)
        deadline = time.monotonic() + TIMEOUT_S
        while not self.released.wait(0.2) and time.monotonic() < deadline:
            handler.wfile.write(b"x")
        self.released.set()

    @contextmanager
    def serving(self) -> Iterator["Receiver"]:
        self._thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
