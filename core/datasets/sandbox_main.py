"""A reader behind a process boundary: a JSON object on stdin, one on stdout.

In: {"task": one of TASKS, "spec": {…}, "cpu_s"}; what a task's spec holds is said by the function
that asks for it, through core.datasets.sandbox.
Out: {"answer": {…}} or {"problem": {…}}, and exit status 0 for both. Whatever else happens, such
as a crash in a decoder, is the parent's to notice.
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

MEMORY_BYTES = 4096 * MIB  # of address space, beyond what the process begins with
OPEN_FILES = 256

# Modules with a function `run(spec) -> answer`; a child imports the one that it needs.
TASKS = {
    "read_images": "core.datasets.images.sandbox_task",
    "read_table": "core.datasets.tabular.sandbox_task",
    "update_schema": "core.datasets.tabular.schema_update_task",
    "validate_checkpoint": "models.validate_checkpoint",
}


def main() -> None:
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    order = json.load(sys.stdin)
    run = import_module(TASKS[order["task"]]).run
    _limit_resources(order["cpu_s"])
    json.dump(_answer(run, order["spec"]), sys.stdout)
    sys.stdout.flush()
    # Now and then the threads of a native library abort a process that ends in the usual way, and
    # an answer that was whole would count as none.
    os._exit(0)


def _answer(run: Any, spec: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": run(spec)}
    except SemblanceError as error:
        return {"problem": error.to_problem()}
    except MemoryError:
        detail = "reading the data takes more memory than one dataset is given"
        return {"problem": DatasetUnreadable(detail).to_problem()}
    except Exception as error:
        # The message may hold a customer's values, and the parent logs what is said here.
        where = "".join(traceback.format_tb(error.__traceback__))
        sys.exit(f"{where}{type(error).__name__}")


def _limit_resources(cpu_s: int) -> None:
    """As far as the system has these limits and lets us set them: macOS lacks some."""
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_NOFILE", OPEN_FILES)
    _limit("RLIMIT_CPU", cpu_s)
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _limit("RLIMIT_AS", pages * resource.getpagesize() + MEMORY_BYTES)


def _limit(name: str, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _end_with_parent(parent: int) -> None:
    """Nobody waits for the result of a child whose parent died."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
