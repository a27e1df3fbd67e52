"""One job at a time on this worker, whoever starts it: Celery's child or the poller's."""

from contextlib import AbstractContextManager
from pathlib import Path

from core import file_lock


def taken(folder: Path) -> AbstractContextManager[bool]:
    """Gives whether the slot is ours until the block ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return file_lock.taken(folder / "slot.lock")


def is_free(folder: Path) -> bool:
    with taken(folder) as ours:
        return ours
