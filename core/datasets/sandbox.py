"""Sandbox: run a function on untrusted files in a resource-limited child process.

A bug in a decoder can crash or hang only the child.
"""

import atexit
import contextlib
import json
import logging
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import core
from core.datasets.sandbox_server import NAME_BYTES, STARTED
from core.errors import DatasetUnreadable, FieldError, SemblanceError, StorageFull, ValidationFailed

log = logging.getLogger(__name__)

OnWait = Callable[[], None]  # called about once a second; an exception that it raises ends the work

_WAIT_S = 1.0
_MAX_STARTS = 3  # a fork server that is about to exit loses the requests that it has not read
_SERVER_REPLY_S = 30.0  # for a start, which takes milliseconds, or the end of a killed process
_PACKAGES = str(Path(core.__path__[0]).parent)
_MAX_LOGGED_CHARS = 4_000
# Messages of Rust and C++ before they abort the process.
_OUT_OF_MEMORY = ("memory allocation of ", "std::bad_alloc")


def run_in_sandbox(
    function: str,
    argument: BaseModel,
    timeout_s: float,
    on_wait: OnWait | None = None,
) -> dict[str, Any]:
    """Call `function`, given as "package.module:name", with `argument` and return its result.

    The function takes one pydantic model and returns a JSON object.

    Calls `on_wait` about once a second; an exception that it raises kills the child.

    Raises:
        SemblanceError: The function raised it.
        DatasetUnreadable: The child crashed or timed out.
    """
    request = {"argument": argument.model_dump(mode="json"), "cpu_s": int(timeout_s) + 1}
    with _start(function) as sandbox:
        response, stderr, exit_status = _communicate(
            sandbox, json.dumps(request).encode(), timeout_s, on_wait
        )
    return _parse_response(exit_status, response, stderr)


@dataclass(frozen=True)
class _Sandbox:
    """This side of a sandbox process; the sockets are those of core.datasets.sandbox_server."""

    channel: socket.socket
    lifeline: socket.socket
    stderr: int


@contextlib.contextmanager
def _start(function: str) -> Iterator[_Sandbox]:
    """Start a sandbox process; kill it, unless it has exited, when the block is left."""
    for _ in range(_MAX_STARTS):
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            channel, its_channel = socket.socketpair()
            lifeline, its_lifeline = socket.socketpair()
            stderr, its_stderr = os.pipe()
            ours.enter_context(channel)
            ours.enter_context(lifeline)
            ours.callback(os.close, stderr)
            theirs.enter_context(its_channel)
            theirs.enter_context(its_lifeline)
            theirs.callback(os.close, its_stderr)
            _fork_server.request(
                function, [its_channel.fileno(), its_stderr, its_lifeline.fileno()]
            )
            theirs.close()
            lifeline.settimeout(_SERVER_REPLY_S)
            if _read_lifeline(lifeline) != STARTED:
                continue  # the fork server ended before it took the request
            try:
                yield _Sandbox(channel, lifeline, stderr)
            finally:
                with contextlib.suppress(OSError):  # it has exited
                    lifeline.shutdown(socket.SHUT_WR)
                while _read_lifeline(lifeline):
                    pass
            return
    raise RuntimeError("A sandbox process could not be started.")


def _read_lifeline(lifeline: socket.socket) -> bytes:
    """Return a byte from the fork server, or nothing at its end; kill a server that hangs."""
    try:
        return lifeline.recv(1)
    except TimeoutError:
        log.error("The server of sandbox processes did not reply for %.0f s.", _SERVER_REPLY_S)
        _fork_server.kill()
        return b""


class _ForkServer:
    """The fork server of this process, which is started when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0  # process id, because a forked worker inherits this object
        self._control: socket.socket | None = None
        self._processes: list[subprocess.Popen[bytes]] = []  # earlier ones may still have work

    def request(self, function: str, descriptors: list[int]) -> None:
        """Send a request; if the server is about to exit, it may be lost."""
        message = function.encode().ljust(NAME_BYTES)
        with self._lock:
            if self._control is not None and self._owner == os.getpid():
                try:
                    socket.send_fds(self._control, [message], descriptors)
                except OSError:
                    self._control.close()
                else:
                    return
            socket.send_fds(self._launch(), [message], descriptors)

    def _launch(self) -> socket.socket:
        """Start a server, which ends when the returned socket is closed."""
        self._control, its_control = socket.socketpair()
        with its_control:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    *(sys.executable, "-P", "-m", "core.datasets.sandbox_server"),
                    str(its_control.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=[its_control.fileno()],
                start_new_session=True,
            )
        self._processes = [each for each in self._processes if each.poll() is None] + [process]
        self._owner = os.getpid()
        return self._control

    def kill(self) -> None:
        """Kill the server; its sandbox processes notice it within a second and exit."""
        with self._lock:
            for process in self._processes:
                process.kill()

    def close(self) -> None:
        """End the server, which needs only milliseconds, unless a sandbox process still runs."""
        if self._control is not None and self._owner == os.getpid():
            self._control.close()
            for process in self._processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1)


_fork_server = _ForkServer()
atexit.register(_fork_server.close)


def _environment() -> dict[str, str]:
    """Return the server's environment: no variable that may hold a secret, one thread for numpy."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**inherited, **threads, "LANG": "C.UTF-8", "PYTHONPATH": _PACKAGES}


def _communicate(
    sandbox: _Sandbox, request: bytes, timeout_s: float, on_wait: OnWait | None
) -> tuple[str, str, str]:
    """Send the request and return the response, stderr and the exit status."""
    deadline = time.monotonic() + timeout_s
    next_wait = time.monotonic() + _WAIT_S
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has crashed
        sandbox.channel.sendall(request)
        sandbox.channel.shutdown(socket.SHUT_WR)
    received = {
        source: bytearray()
        for source in (sandbox.channel.fileno(), sandbox.stderr, sandbox.lifeline.fileno())
    }
    with selectors.DefaultSelector() as selector:
        for source in received:
            selector.register(source, selectors.EVENT_READ)
        while selector.get_map():
            now = time.monotonic()
            if now >= deadline:
                raise DatasetUnreadable(
                    f"Reading the data took longer than {timeout_s:,.0f} seconds. "
                    "Upload a smaller dataset."
                )
            if now >= next_wait:
                next_wait = now + _WAIT_S
                if on_wait is not None:
                    on_wait()
            for key, _ in selector.select(min(deadline, next_wait) - now):
                data = _read(key.fd)
                received[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    response, stderr, exit_status = (
        bytes(data).decode(errors="replace") for data in received.values()
    )
    return response, stderr, exit_status


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except ConnectionResetError:  # the sandbox process has crashed
        return b""


def _parse_response(exit_status: str, output: str, stderr: str) -> dict[str, Any]:
    try:
        response = json.loads(output) if exit_status == "0" else {}
        if "answer" in response:
            return dict(response["answer"])
        if "problem" in response:
            raise _to_error(response["problem"])
    except (ValueError, TypeError, KeyError) as error:
        log.error("The response of a sandbox process cannot be parsed: %r.", error)
    log.error(
        "A sandbox process exited with status %s: %s",
        exit_status or "unknown",
        stderr[-_MAX_LOGGED_CHARS:],
    )
    if any(message in stderr for message in _OUT_OF_MEMORY):
        raise DatasetUnreadable(
            "Reading the data needs more memory than one upload may use. Upload a smaller dataset, "
            "or save the table as CSV."
        )
    raise DatasetUnreadable(
        "The files could not be read: the reader process crashed. Export them again: "
        "images as PNG in a zip, tables as CSV or Parquet."
    )


def _to_error(problem: Mapping[str, Any]) -> SemblanceError:
    if problem["code"] == StorageFull.code:
        return StorageFull(problem["detail"])
    errors = [
        FieldError(**{**error, "allowed": tuple(error["allowed"]) if "allowed" in error else None})
        for error in problem.get("errors", [])
    ]
    is_invalid = problem["title"] == ValidationFailed.title
    error_type = ValidationFailed if is_invalid else DatasetUnreadable
    return error_type(problem["detail"], code=problem["code"], field_errors=errors)
