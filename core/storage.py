"""Immutable objects by key, in a folder or an object store, each with its size and sha256.

A key is built from ids and fixed words (`key_of`), never from what a client sent, and begins with
the tenant. `put` is atomic and, in a folder, on disk before it returns: a row that names an object
is only ever written after it.
"""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from core.errors import StorageFull, Unavailable
from core.ids import new_id
from core.settings import get_settings

CHUNK = 1024 * 1024
_PART = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")


class ObjectCorrupted(Exception):
    """An object is missing, or its bytes are not the ones that were stored."""


@dataclass(frozen=True)
class StoredObject:
    """What a row keeps of an object."""

    key: str
    bytes: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        return cls(row["key"], row["bytes"], row["sha256"])


def key_of(tenant_id: str, *parts: str) -> str:
    """`t/<tenant>/<part>/…`; raises ValueError on anything but plain words and ids."""
    for part in (tenant_id, *parts):
        if not _PART.fullmatch(part):
            raise ValueError("a storage key is made of ids and fixed words")
    return "/".join(("t", tenant_id, *parts))


class Storage:
    def __init__(self, store: ObjectStore, scratch: Path) -> None:
        self._store = store
        self._root = Path(str(store.prefix)) if isinstance(store, LocalStore) else None
        self._scratch = scratch

    @classmethod
    def from_url(cls, url: str, scratch: Path) -> Self:
        if url.startswith("file://"):
            root = Path(unquote(urlparse(url).path))
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            return cls(LocalStore(root), scratch)
        return cls(from_url(url), scratch)

    def put(self, key: str, data: bytes) -> StoredObject:
        with _room():
            obstore.put(self._store, key, data)
            self._sync(key)
        return StoredObject(key, len(data), hashlib.sha256(data).hexdigest())

    def put_stream(self, key: str, chunks: Iterable[bytes]) -> StoredObject:
        digest, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        with _room():
            obstore.put(self._store, key, counted())
            self._sync(key)
        return StoredObject(key, size, digest.hexdigest())

    def put_file(self, key: str, path: Path) -> StoredObject:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with _room():
            obstore.put(self._store, key, path)
            self._sync(key)
        return StoredObject(key, path.stat().st_size, sha256)

    def read(self, stored: StoredObject) -> bytes:
        """The whole object, verified. Raises ObjectCorrupted."""
        try:
            data = obstore.get(self._store, stored.key).bytes().to_bytes()
        except FileNotFoundError as error:
            raise ObjectCorrupted("a stored object is missing") from error
        except (BaseError, OSError) as error:
            raise Unavailable("the object store does not answer", code="storage_down") from error
        if hashlib.sha256(data).hexdigest() != stored.sha256:
            raise ObjectCorrupted("a stored object is damaged")
        return data

    def stream(
        self, stored: StoredObject, start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Bytes `start` to `end` (exclusive), a chunk at a time, unverified."""
        end = stored.bytes if end is None else end
        for at in range(start, end, CHUNK):
            part = obstore.get_range(self._store, stored.key, start=at, end=min(end, at + CHUNK))
            yield bytes(part)

    @contextmanager
    def open(self, stored: StoredObject) -> Iterator[Path]:
        """A local, verified, read-only file with the object's bytes, for memory mapping.

        In a folder it is the object itself; from elsewhere a copy that goes with the block.
        """
        if self._root is not None:
            path = self._root / stored.key
            _verify(path, stored)
            yield path
            return
        path = self._scratch / new_id("object")
        try:
            with path.open("wb") as file, _room():
                for chunk in self.stream(stored):
                    file.write(chunk)
            _verify(path, stored)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def delete(self, keys: Iterable[str]) -> None:
        """Missing objects are no error."""
        for key in keys:
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                continue

    def keys(self, prefix: str) -> Iterator[str]:
        """Of all objects under `prefix/`."""
        for batch in obstore.list(self._store, prefix):
            yield from (entry["path"] for entry in batch)

    def free_bytes(self) -> int | None:
        """Room left on the disk of a folder; None where the store does not say."""
        return None if self._root is None else shutil.disk_usage(self._root).free

    def check_writable(self) -> None:
        """Raises Unavailable unless an object can be written now."""
        try:
            obstore.put(self._store, "t/health", b"ok")
        except (BaseError, OSError) as error:
            raise Unavailable("the object store does not answer", code="storage_down") from error

    def _sync(self, key: str) -> None:
        """A power cut after this returns cannot take the object or its name away."""
        if self._root is None:
            return
        path = self._root / key
        for part in (path, *path.parents):
            if part == self._root.parent:
                return
            descriptor = os.open(part, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _verify(path: Path, stored: StoredObject) -> None:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ObjectCorrupted("a stored object is missing") from error
    if sha256 != stored.sha256:
        raise ObjectCorrupted("a stored object is damaged")


@contextmanager
def _room() -> Iterator[None]:
    """Translates a full disk, which obstore reports as text, into StorageFull."""
    try:
        yield
    except (BaseError, OSError) as error:
        full = getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        if full or "os error 28" in str(error) or "os error 27" in str(error):
            raise StorageFull("the store has no room left") from error
        raise Unavailable("the object store does not answer", code="storage_down") from error


@lru_cache
def get_storage() -> Storage:
    settings = get_settings()
    return Storage.from_url(settings.storage_url, settings.scratch)
