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
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from semblance import Client

CHECKOUT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 300.0  # a busy machine loads torch slowly


@dataclass
class Service:
    url: str
    key: str  # of an administrator
    process: psutil.Popen


@contextlib.contextmanager
def serving(**environment: str) -> Iterator[Client]:
    """Yield a client of a temporary service: see `service_of`."""
    with (
        service_of(CHECKOUT, **environment) as service,
        Client(service.url, service.key, timeout=3_600) as client,
    ):
        yield client


@contextlib.contextmanager
def service_of(checkout: Path, **environment: str) -> Iterator[Service]:
    """Start the service of a checkout in a temporary folder, and stop it at the end.

    By default the service trains on one thread and does not evaluate models after training, because
    the benchmarks measure them in their own way. `environment` overrides these settings.

    Raises:
        TimeoutError: The service does not start.
    """
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder:
        port = str(free_port())
        command = [sys.executable, "-m", "core.cli", "up", "--data", folder, "--port", port]
        defaults = {
            "PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'client'}",
            "SEMBLANCE_WORKER_THREADS": "1",
            "SEMBLANCE_AUTO_EVALUATE": "false",
        }
        settings = os.environ | defaults | environment
        process = psutil.Popen(command, cwd=checkout, env=settings, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url)
            yield Service(url, (Path(folder) / "admin.key").read_text().strip(), process)
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
