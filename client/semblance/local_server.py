"""A service on this machine as a child process."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from semblance.errors import UnreachableError

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0


class LocalServer:
    """A running `semblance-server up`, which must be installed in the same environment.

    `folder` holds the data; by default a temporary one that is deleted at the end. With
    `detached`, the service outlives this process, unless `stop` is called.
    """

    def __init__(
        self, folder: Path | None = None, *, port: int | None = None, detached: bool = False
    ) -> None:
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="semblance-")
        self.folder = folder or Path(self._temporary.name) / "data"  # type: ignore[union-attr]
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(  # noqa: S603 - the command is fixed
            [_command(), "up", "--data", str(self.folder), "--port", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in this process is not meant for the service
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self._detached = detached

    @property
    def key(self) -> str:
        return (self.folder / "admin.key").read_text().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None or not self._detached:
            self.stop()

    def stop(self) -> None:
        """End the service and its workers; a temporary folder is deleted."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=STOP_TIMEOUT_S)
        if self._temporary is not None:
            self._temporary.cleanup()

    def _wait_until_ready(self) -> None:
        import httpx

        log = os.fspath(self.folder / "server.log")
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise UnreachableError(f"The service exited. See {log}.")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            time.sleep(0.2)
        raise UnreachableError(
            f"The service was not ready after {START_TIMEOUT_S:.0f} s. See {log}."
        )


def _command() -> str:
    beside_python = Path(sys.executable).with_name("semblance-server")
    command = str(beside_python) if beside_python.exists() else shutil.which("semblance-server")
    if command is None:
        raise UnreachableError("semblance-server is not installed in this environment.")
    return command


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
