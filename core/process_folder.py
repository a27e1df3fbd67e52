"""Folder for the temporary files of this process, such as copies of objects and of uploads.

The process locks its folder as long as it lives, and removes it at its end. If the process was
killed, the lock is free and `remove_leftovers` removes the folder: data that is erased must not
remain in a copy.
"""

import atexit
import os
import shutil
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from core import file_lock
from core.ids import new_id
from core.settings import get_settings

MAX_AGE_S = 86_400.0  # of files outside of such folders

_LOCK = "process.lock"


@dataclass
class _Folder:
    scratch: Path
    process: int
    path: Path
    lock: ExitStack = field(default_factory=ExitStack)

    def remove(self) -> None:
        if os.getpid() == self.process:  # not in a fork of the process
            shutil.rmtree(self.path, ignore_errors=True)
            self.lock.close()


_mutex = threading.Lock()
_current: _Folder | None = None


def get() -> Path:
    """Return the folder of this process, in the scratch folder; the first call creates it."""
    global _current
    scratch, process = get_settings().scratch, os.getpid()
    with _mutex:
        if _current is None or (_current.scratch, _current.process) != (scratch, process):
            if _current is not None:
                _current.remove()
            _current = _create(scratch, process)
        return _current.path


def _create(scratch: Path, process: int) -> _Folder:
    folder = _Folder(scratch, process, scratch / new_id("tmp"))
    folder.path.mkdir(mode=0o700)
    unlocked = folder.path / "new.lock"
    folder.lock.enter_context(file_lock.try_lock(unlocked))
    unlocked.rename(folder.path / _LOCK)  # other processes see the lock only when it is held
    return folder


@atexit.register
def _remove_current() -> None:
    if _current is not None:
        _current.remove()


def remove_leftovers(scratch: Path) -> None:
    """Remove the folders of processes that were killed, and other files after a day."""
    for path in scratch.iterdir():
        with suppress(FileNotFoundError):  # another process has removed it
            if path.suffix != ".lock" and _is_leftover(path):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def _is_leftover(path: Path) -> bool:
    if (path / "main.lock").exists():  # the folder of a worker
        return False
    if (path / _LOCK).exists():
        with file_lock.try_lock(path / _LOCK) as is_free:
            return is_free
    return time.time() - path.stat().st_mtime > MAX_AGE_S
