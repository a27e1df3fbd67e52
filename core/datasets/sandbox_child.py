"""Main program of a sandbox process: one request, one response, under limits.

The request on the channel is {"argument": {…}, "cpu_s"}. The function takes one pydantic model,
whose type its signature declares, and returns a JSON object. The response is {"answer": {…}} or
{"problem": {…}}, with exit status 0 for both. The client handles everything else, such as a crash
in a decoder.
"""

import contextlib
import json
import os
import resource
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from core.errors import DatasetUnreadable, SemblanceError
from core.limits import MIB

MEMORY_BYTES = 4096 * MIB  # of address space, in addition to what the interpreter uses
OPEN_FILES = 256


def serve(function_name: str, channel: socket.socket) -> NoReturn:
    """Call the function with the argument of the request, send the response and exit."""
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        module, _, name = function_name.partition(":")
        function = getattr(import_module(module), name)
        argument_type = next(iter(get_type_hints(function).values()))
        with channel.makefile("rb") as request_file:
            request = json.load(request_file)
        argument = argument_type.model_validate(request["argument"])
        _limit_resources(request["cpu_s"])
        channel.sendall(json.dumps(_respond(function, argument)).encode())
    except BaseException as error:
        # The client logs stderr; the message is omitted because it may hold a customer's values.
        traceback.print_tb(error.__traceback__)
        sys.stderr.write(f"{type(error).__name__}\n")
        sys.stderr.flush()
        os._exit(1)
    # Threads of native libraries occasionally abort the process during a normal shutdown. The
    # client would then discard a complete response because of the exit status.
    os._exit(0)


def _respond(function: Callable[[Any], dict[str, Any]], argument: Any) -> dict[str, Any]:
    try:
        return {"answer": function(argument)}
    except SemblanceError as error:
        return {"problem": error.to_problem()}
    except MemoryError:
        detail = (
            f"Reading the data needs more than {MEMORY_BYTES // MIB:,} MiB of memory. "
            "Upload a smaller dataset."
        )
        return {"problem": DatasetUnreadable(detail).to_problem()}


def _limit_resources(cpu_s: int) -> None:
    """Set the limits that the operating system supports; macOS lacks some of them."""
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", OPEN_FILES)
    _limit("RLIMIT_CPU", cpu_s)
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _limit("RLIMIT_AS", pages * resource.getpagesize() + MEMORY_BYTES)


def _limit(name: str, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        limit = getattr(resource, name)
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def _exit_with_parent(parent_pid: int) -> None:
    """Exit when the fork server has died: then no process would end this one."""
    while os.getppid() == parent_pid:
        time.sleep(1)
    os._exit(1)
