"""Main program of the sandbox process: one JSON object on stdin, one on stdout.

Input: {"task": one of TASKS, "spec": {…}, "cpu_s"}. The callers of
`core.datasets.sandbox.run_in_sandbox` define the spec of each task.
Output: {"answer": {…}} or {"problem": {…}}, with exit status 0 for both. The parent handles
everything else, such as a crash in a decoder.
"""

import contextlib
import json
import os
import resource
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import DatasetUnreadable, SemblanceError
from core.settings import MIB

MEMORY_BYTES = 4096 * MIB  # of address space, in addition to what the interpreter uses
OPEN_FILES = 256

# Modules with a function `run(spec) -> answer`. A child imports only the one that it needs.
TASKS = {
    "read_images": "modalities.image.upload.sandbox_task",
    "read_table": "modalities.tabular.upload.sandbox_task",
    "update_schema": "modalities.tabular.upload.schema_update_task",
    "validate_checkpoint": "models.validate_checkpoint",
}


def main() -> None:
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    request = json.load(sys.stdin)
    run = import_module(TASKS[request["task"]]).run
    _limit_resources(request["cpu_s"])
    json.dump(_respond(run, request["spec"]), sys.stdout)
    sys.stdout.flush()
    # Threads of native libraries occasionally abort the process during a normal shutdown. The
    # parent would then discard a complete answer because of the exit status.
    os._exit(0)


def _respond(run: Any, spec: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": run(spec)}
    except SemblanceError as error:
        return {"problem": error.to_problem()}
    except MemoryError:
        detail = (
            f"Reading the data needs more than {MEMORY_BYTES // MIB:,} MiB of memory. "
            "Upload a smaller dataset."
        )
        return {"problem": DatasetUnreadable(detail).to_problem()}
    except Exception as error:
        # The parent logs stderr; the message is omitted because it may hold a customer's values.
        frames = "".join(traceback.format_tb(error.__traceback__))
        sys.exit(f"{frames}{type(error).__name__}")


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
    """Exit when the parent has died: then no process reads the result."""
    while os.getppid() == parent_pid:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
