"""The service as a user starts it, with real processes, a real broker and real HTTP."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
from semblance import Client

from tests.servers import BROKER, SERVER, database_for

T = TypeVar("T")
# A wait ends as soon as its condition is true; the limit only ends tests that hang. A busy machine
# may need 20 s to start a process.
TIMEOUT_S = 120.0
SHORT_INTERVALS = {
    "SEMBLANCE_LEASE_SECONDS": "5",
    "SEMBLANCE_HEARTBEAT_SECONDS": "0.5",
    "SEMBLANCE_SWEEP_SECONDS": "0.5",
    "SEMBLANCE_POLL_SECONDS": "0.5",
    "SEMBLANCE_REPORT_SECONDS": "0.2",
    "SEMBLANCE_MIN_FREE_DISK_BYTES": "0",
    "SEMBLANCE_AUTO_EVALUATE": "false",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(poll: Callable[[], T], *, within: float = TIMEOUT_S, every: float = 0.05) -> T:
    """Return the first true result of `poll`; fail with its last result after `within` seconds."""
    deadline = time.monotonic() + within
    while not (result := poll()):
        assert time.monotonic() < deadline, f"still {result!r} after {within} s"
        time.sleep(every)
    return result


@dataclass
class Server:
    """A running `semblance-server up` with its own folder."""

    folder: Path
    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        return Client(self.url, (self.folder / "admin.key").read_text().strip(), timeout=60)

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def is_alive(self) -> bool:
        try:
            return httpx.get(f"{self.url}/livez", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def is_ready(self) -> bool:
        assert self.process.poll() is None, (
            f"the server ended with status {self.process.returncode}"
        )
        try:
            response = httpx.get(f"{self.url}/readyz", timeout=20)
            return response.status_code == 200 and response.json()["checks"]["worker"] == "ok"
        except httpx.TransportError:
            return False

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def find(self, *words: str) -> list[psutil.Process]:
        """Return the descendants with all of these words on their command line."""
        return [p for p in self.descendants() if all(w in " ".join(_command(p)) for w in words)]

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        return self.process.wait(timeout=TIMEOUT_S)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def external_services(folder: Path) -> dict[str, str]:
    """Return the settings for PostgreSQL and Redis, if the tests have them."""
    settings = {}
    if SERVER is not None:
        settings["SEMBLANCE_DATABASE_URL"] = database_for(folder)
    if BROKER is not None:
        settings["SEMBLANCE_BROKER_URL"] = BROKER
    return settings


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Server]:
    port = free_port()
    command = Path(sys.executable).with_name("semblance-server")
    process = subprocess.Popen(
        [str(command), "up", "--data", str(folder), "--port", str(port)],
        env=os.environ | SHORT_INTERVALS | external_services(folder) | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    server = Server(folder, port, process)
    try:
        yield server
    finally:
        if process.poll() is None:
            server.stop()
        assert process.stdout is not None
        process.stdout.close()
