"""A temporary service for one benchmark."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from semblance import Client

START_TIMEOUT_S = 60.0


@contextlib.contextmanager
def serving(**environment: str) -> Iterator[Client]:
    """Start a service in a temporary folder, yield a client of it, and stop it at the end.

    By default the service trains on one thread and does not evaluate models after training, because
    the benchmarks measure them in their own way. `environment` overrides these settings.

    Raises:
        TimeoutError: The service does not start.
    """
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder:
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "core.cli",
            "up",
            "--data",
            folder,
            "--port",
            str(port),
        ]
        defaults = {"SEMBLANCE_WORKER_THREADS": "1", "SEMBLANCE_AUTO_EVALUATE": "false"}
        settings = os.environ | defaults | environment
        process = subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url)
            key = (Path(folder) / "admin.key").read_text().strip()
            with Client(url, key, timeout=3_600) as client:
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise TimeoutError(f"The service was not ready after {START_TIMEOUT_S:.0f} s.")
