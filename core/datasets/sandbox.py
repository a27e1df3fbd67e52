"""Sandbox: run a function on untrusted files in a resource-limited child process.

A bug in a decoder can crash or hang only the child.
"""

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

from pydantic import BaseModel

import core
from core.errors import DatasetUnreadable, FieldError, SemblanceError, StorageFull, ValidationFailed

log = logging.getLogger(__name__)

OnWait = Callable[[], None]  # called about once a second; an exception that it raises ends the work

_WAIT_S = 1.0
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
    request = {
        "function": function,
        "argument": argument.model_dump(mode="json"),
        "cpu_s": int(timeout_s) + 1,
    }
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
            output, stderr = _communicate(process, json.dumps(request), timeout_s, on_wait)
        finally:
            _kill(process)
    return _parse_response(process.returncode, output, stderr)


def _environment() -> dict[str, str]:
    """Return the child's environment: no variable that may hold a secret, one thread for numpy."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**inherited, **threads, "LANG": "C.UTF-8", "PYTHONPATH": _PACKAGES}


def _communicate(
    process: subprocess.Popen[str],
    request: str,
    timeout_s: float,
    on_wait: OnWait | None,
) -> tuple[str, str]:
    """Send the request and return stdout and stderr of the child."""
    deadline = time.monotonic() + timeout_s
    unsent: str | None = request
    while True:
        try:
            remaining_s = deadline - time.monotonic()
            return process.communicate(unsent, timeout=max(0.01, min(_WAIT_S, remaining_s)))
        except subprocess.TimeoutExpired as error:
            unsent = None  # the first call has sent it; further calls continue to read
            if remaining_s <= _WAIT_S:
                raise DatasetUnreadable(
                    f"Reading the data took longer than {timeout_s:,.0f} seconds. "
                    "Upload a smaller dataset."
                ) from error
            if on_wait is not None:
                on_wait()


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the child and the processes it started, unless it has exited."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _parse_response(returncode: int, output: str, stderr: str) -> dict[str, Any]:
    try:
        response = json.loads(output) if returncode == 0 else {}
        if "answer" in response:
            return dict(response["answer"])
        if "problem" in response:
            raise _to_error(response["problem"])
    except (ValueError, TypeError, KeyError) as error:
        log.error("The response of a sandbox process cannot be parsed: %r.", error)
    log.error(
        "A sandbox process exited with status %s: %s", returncode, stderr[-_MAX_LOGGED_CHARS:]
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
