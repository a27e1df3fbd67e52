"""Exit of a job's process whose GPU fails, and the flag by which its supervisor notices.

The context of CUDA is lost with the process, and only a new process can create another one. While
the flag is set, no process of the worker claims a job: the supervisor first checks the device.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from job_kinds.process_device import DeviceLost

EXIT_CODE = 71  # of a process whose GPU failed

log = logging.getLogger(__name__)


@contextmanager
def exit_on_loss(folder: Path) -> Iterator[None]:
    """Set the flag and exit the process at once if the block raises DeviceLost."""
    try:
        yield
    except DeviceLost as error:
        log.critical("the GPU failed; exiting the process", extra={"cause": str(error)[:200]})
        flag(folder)
        os._exit(EXIT_CODE)  # the usual exit would call CUDA, which may hang


def flag(folder: Path) -> None:
    _flag(folder).touch()


def is_flagged(folder: Path) -> bool:
    return _flag(folder).exists()


def clear(folder: Path) -> None:
    _flag(folder).unlink(missing_ok=True)


def _flag(folder: Path) -> Path:
    return folder / "device-lost"
