"""read_images behind a process boundary: a JSON object on stdin, one on stdout.

In: {"files": [{"path", "name"}], "options": {…}, "limits": {…}, "out", "cpu_s"}.
Out: {"summary": {…}} or {"problem": {…}}, and exit status 0 for both. Whatever else happens, such
as a crash in a decoder, is the parent's to notice.
"""

import contextlib
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from core.datasets.images.options import ImageOptions, SourceFile
from core.datasets.images.reading import read_images
from core.errors import SemblanceError, UnreadableDataset
from core.settings import MIB, Limits

MEMORY_BYTES = 4096 * MIB  # of address space, beyond what the process begins with
OPEN_FILES = 256


def main() -> None:
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    spec = json.load(sys.stdin)
    _limit_resources(spec["cpu_s"])
    json.dump(_read(spec), sys.stdout)


def _read(spec: dict[str, Any]) -> dict[str, Any]:
    options = dict(spec["options"])
    if options.get("size") is not None:
        options["size"] = tuple(options["size"])
    files = [SourceFile(Path(file["path"]), file["name"]) for file in spec["files"]]
    try:
        summary = read_images(
            files, ImageOptions(**options), Limits(**spec["limits"]), Path(spec["out"])
        )
    except SemblanceError as error:
        return {"problem": error.to_problem()}
    except MemoryError:
        detail = "reading the images takes more memory than one dataset is given"
        return {"problem": UnreadableDataset(detail).to_problem()}
    return {"summary": summary.to_dict()}


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
