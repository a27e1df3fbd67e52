"""Folder of a worker's lock files and flags, which belongs to its main process.

The main process locks `main.lock` as long as it lives. If it is killed, the other processes of the
worker notice that the folder is abandoned: they claim nothing more and release their job. The next
worker that starts on this machine removes the folder.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core import file_lock, process_folder
from worker import device_loss, worker_lock


@contextmanager
def create(path: Path) -> Iterator[Path]:
    """Create the folder, hold its lock until the block ends, then remove it."""
    path.mkdir(mode=0o700)
    with file_lock.try_lock(_main_lock(path)):
        yield path
        shutil.rmtree(path, ignore_errors=True)


def describe(folder: Path, description: dict[str, Any]) -> None:
    """Write the worker's description for the worker that sends the heartbeats of the host.

    The description is valid for a while only, so a worker must repeat this as long as it lives.
    """
    file = folder / "worker.json"
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(description))
    temporary.rename(file)


def withdraw(folder: Path) -> None:
    """Remove the description, at the end of the worker."""
    (folder / "worker.json").unlink(missing_ok=True)


def descriptions(scratch: Path, max_age_s: float) -> dict[str, dict[str, Any]]:
    """Return the descriptions of the host's workers, by id, that are at most `max_age_s` old."""
    found = {}
    for file in scratch.glob("wkr_*/worker.json"):
        with suppress(FileNotFoundError):  # the worker has just ended
            if time.time() - file.stat().st_mtime <= max_age_s:
                found[file.parent.name] = json.loads(file.read_text())
    return found


def request_drain(folder: Path) -> None:
    """Ask the worker's processes to save and release their job, and to claim no other one."""
    (folder / "drain").touch()


def is_draining(folder: Path) -> bool:
    """Return True if the worker is shutting down, or its main process is dead."""
    return (folder / "drain").exists() or _is_abandoned(folder)


def may_claim(folder: Path) -> bool:
    return not device_loss.is_flagged(folder) and not is_draining(folder)


def remove_leftovers(scratch: Path) -> None:
    """Remove what dead processes have left, and the folders of dead workers."""
    process_folder.remove_leftovers(scratch)
    for path in scratch.iterdir():
        if _main_lock(path).exists() and _is_abandoned(path) and worker_lock.is_free(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    if not _main_lock(folder).exists():  # not created by a main process, as in tests
        return False
    with file_lock.try_lock(_main_lock(folder)) as acquired:
        return acquired


def _main_lock(folder: Path) -> Path:
    return folder / "main.lock"
