"""The application at a real port in this process, which a test can stop and start again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI


class LiveApplication:
    """An HTTP server at one address, with the database and files of the current test."""

    def __init__(self, application: FastAPI, port: int) -> None:
        self.application, self.port = application, port
        self.url = f"http://127.0.0.1:{port}"
        self._server: uvicorn.Server | None = None

    def start(self) -> None:
        self.application.middleware_stack = None  # build it again: it belongs to one event loop
        config = uvicorn.Config(
            self.application, port=self.port, log_config=None, timeout_graceful_shutdown=0
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server; open connections are cut."""
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = None


@contextmanager
def live(application: FastAPI, port: int) -> Iterator[LiveApplication]:
    server = LiveApplication(application, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()
