"""Main program of the sandbox process: one JSON object on stdin, one on stdout.

Input: {"function": "package.module:name", "argument": {…}, "cpu_s"}. The function takes one
pydantic model, whose type its signature declares, and returns a JSON object.
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
from collections.abc import Callable
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, get_type_hints

from core.errors import DatasetUnreadable, SemblanceError
from core.limits import MIB

MEMORY_BYTES = 4096 * MIB  # of address space, in addition to what the interpreter uses
OPEN_FILES = 256


class _NoPandas(MetaPathFinder):
    """Let `import pandas` fail, as if pandas were not installed.

    pyarrow imports it for its first array, which takes half a second. No reader uses it.
    """

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("No reader uses pandas.", name=fullname)


def main() -> None:
    sys.meta_path.insert(0, _NoPandas())
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    request = json.load(sys.stdin)
    module, _, name = request["function"].partition(":")
    function = getattr(import_module(module), name)
    argument_type = next(iter(get_type_hints(function).values()))
    argument = argument_type.model_validate(request["argument"])
    _limit_resources(request["cpu_s"])
    json.dump(_respond(function, argument), sys.stdout)
    sys.stdout.flush()
    # Threads of native libraries occasionally abort the process during a normal shutdown. The
    # parent would then discard a complete answer because of the exit status.
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
