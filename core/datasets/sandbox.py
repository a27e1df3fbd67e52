"""Reading in a child process, so that a decoder's fault is no fault of ours."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import core
from core.errors import DatasetUnreadable, FieldError, SemblanceError, StorageFull, ValidationFailed

log = logging.getLogger(__name__)

_WAIT_S = 1.0
_PACKAGES = str(Path(core.__path__[0]).parent)
_LOGGED_CHARS = 4_000


def run_in_sandbox(
    task: str,
    spec: dict[str, Any],
    timeout_s: float,
    on_wait: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """The answer of a task of core.datasets.sandbox_main to `spec`, both of them JSON.

    Calls `on_wait` about once a second; what that raises ends the child. Raises what the task
    raised, and DatasetUnreadable when it has died or taken too long.
    """
    order = {"task": task, "spec": spec, "cpu_s": int(timeout_s) + 1}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "core.datasets.sandbox_main"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
        start_new_session=True,
    ) as process:
        try:
            output, complaint = _talk(process, json.dumps(order), timeout_s, on_wait)
        finally:
            _kill(process)
    return _answer_of(process.returncode, output, complaint)


def _environment() -> dict[str, str]:
    """Nothing of ours, whose variables hold secrets, and one thread for numpy."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "LANG": "C.UTF-8", "PYTHONPATH": _PACKAGES}


def _talk(
    process: subprocess.Popen[str],
    spec: str,
    timeout_s: float,
    on_wait: Callable[[], None] | None,
) -> tuple[str, str]:
    until = time.monotonic() + timeout_s
    message: str | None = spec
    while True:
        try:
            left = until - time.monotonic()
            return process.communicate(message, timeout=max(0.01, min(_WAIT_S, left)))
        except subprocess.TimeoutExpired as error:
            message = None  # it has been sent; asking again goes on reading
            if left <= _WAIT_S:
                detail = f"reading the data took longer than {timeout_s:,.0f} seconds"
                raise DatasetUnreadable(f"{detail}; make a smaller set") from error
            if on_wait is not None:
                on_wait()


def _kill(process: subprocess.Popen[str]) -> None:
    """The child and whatever it might have started; nothing when it has ended by itself."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _answer_of(returncode: int, output: str, complaint: str) -> dict[str, Any]:
    try:
        message = json.loads(output) if returncode == 0 else {}
        if "answer" in message:
            return dict(message["answer"])
        if "problem" in message:
            raise _error_of(message["problem"])
    except (ValueError, TypeError, KeyError) as error:
        log.error("a dataset child's answer cannot be read: %r", error)
    log.error("a dataset child ended with status %s: %s", returncode, complaint[-_LOGGED_CHARS:])
    raise DatasetUnreadable(
        "the files could not be read: the reader stopped without an answer; export them again, "
        "images as PNG in a zip, tables as CSV or Parquet"
    )


def _error_of(problem: Mapping[str, Any]) -> SemblanceError:
    if problem["code"] == StorageFull.code:
        return StorageFull(problem["detail"])
    faults = [
        FieldError(**{**fault, "allowed": tuple(fault["allowed"]) if "allowed" in fault else None})
        for fault in problem.get("errors", [])
    ]
    kind = ValidationFailed if problem["title"] == ValidationFailed.title else DatasetUnreadable
    return kind(problem["detail"], code=problem["code"], field_errors=faults)
