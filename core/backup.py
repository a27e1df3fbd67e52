"""Backup and restore of a server that keeps its state in a data folder.

A backup is a folder with the database, the objects and the admin key. Objects never change, so a
backup into the same folder copies only new ones. The server may run meanwhile: the objects are
copied once before the database and once after it, so that the copy of the database refers to no
object that is missing. A job that ran resumes in the copy from its last checkpoint, as if its
machine had died.
"""

import filecmp
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

DATABASE, OBJECTS, KEY = "semblance.db", "objects", "admin.key"


class BackupFailed(Exception):
    """The backup or the restore is not possible; the text says why."""


def back_up(data: Path, backup: Path) -> None:
    """Copy the state in the folder `data` to the folder `backup`, which may have an older copy."""
    if not (data / DATABASE).exists():
        raise BackupFailed(
            f"{data} has no {DATABASE}. With PostgreSQL or S3, use the tools of these services."
        )
    backup.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = _copy_new_objects(data / OBJECTS, backup / OBJECTS)
    _copy_database(data / DATABASE, backup / f"{DATABASE}.new")
    (backup / f"{DATABASE}.new").replace(backup / DATABASE)
    after = _copy_new_objects(data / OBJECTS, backup / OBJECTS)
    _delete_others(backup / OBJECTS, before | after)
    if (data / KEY).exists():
        shutil.copy2(data / KEY, backup / KEY)


def restore(backup: Path, data: Path) -> None:
    """Copy a backup to the folder `data`, which must have no state yet."""
    if not (backup / DATABASE).exists():
        raise BackupFailed(f"{backup} has no {DATABASE}, so it is not a backup.")
    if (data / DATABASE).exists() or (data / OBJECTS).exists():
        raise BackupFailed(f"{data} has state already. Choose another folder with --data.")
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    _copy_new_objects(backup / OBJECTS, data / OBJECTS)
    _copy_database(backup / DATABASE, data / DATABASE)
    if (backup / KEY).exists():
        shutil.copy2(backup / KEY, data / KEY)


def _copy_database(source: Path, target: Path) -> None:
    """Copy a consistent state of a database that others may write to."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        (state,) = new.execute("PRAGMA integrity_check").fetchone()
    if state != "ok":
        raise BackupFailed(f"The database is damaged: {state}")
    target.chmod(0o600)


def _copy_new_objects(source: Path, target: Path) -> set[Path]:
    """Copy the files that `target` does not have; return the relative paths of all."""
    target.mkdir(exist_ok=True, mode=0o700)
    copied = set()
    for path in source.rglob("*"):
        relative = path.relative_to(source)
        new = target / relative
        if path.is_dir():
            new.mkdir(parents=True, exist_ok=True, mode=0o700)
            continue
        # A file that is still being written has no row yet, and is copied again the next time.
        if not new.exists() or not filecmp.cmp(path, new):
            try:
                new.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.copy2(path, new)
            except FileNotFoundError:  # it was deleted meanwhile
                continue
        copied.add(relative)
    return copied


def _delete_others(folder: Path, kept: set[Path]) -> None:
    """Delete objects of an older backup that the server has deleted since."""
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder) not in kept:
            path.unlink()
