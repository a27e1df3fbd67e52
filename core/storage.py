"""Storage of immutable objects by key, in a folder or an object store.

Each object has a size and a SHA-256. A key consists of ids and fixed words (`key_of`), never of
client input, and begins with the tenant. `put` is atomic and, in a folder, durable before it
returns. A row that refers to an object must be written after the object.
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
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from core import process_folder
from core.errors import StorageFull, Unavailable
from core.ids import new_id
from core.settings import get_settings

if TYPE_CHECKING:
    from core.tables import Artifact, UploadPart

CHUNK = 1024 * 1024
DISK_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PART = re.compile(r"[a-z0-9][a-z0-9_.-]{0,127}")


class ObjectCorrupted(Exception):
    """An object is missing, or its bytes differ from those that were stored."""


@dataclass(frozen=True)
class StoredObject:
    """Reference to a stored object, as saved in a row."""

    key: str
    bytes: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, row: "Artifact | UploadPart") -> Self:
        return cls(row.key, row.bytes, row.sha256)

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        return cls(row["key"], row["bytes"], row["sha256"])


def key_of(tenant_id: str, *parts: str) -> str:
    """Return the key `t/<tenant>/<part>/…`; raise ValueError for parts other than ids and words."""
    for part in (tenant_id, *parts):
        if not _PART.fullmatch(part):
            raise ValueError("A storage key must consist of ids and fixed words.")
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
        with _translate_write_errors():
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

        with _translate_write_errors():
            obstore.put(self._store, key, counted())
            self._sync(key)
        return StoredObject(key, size, digest.hexdigest())

    def put_file(self, key: str, path: Path) -> StoredObject:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with _translate_write_errors():
            obstore.put(self._store, key, path)
            self._sync(key)
        return StoredObject(key, path.stat().st_size, sha256)

    def read(self, stored: StoredObject) -> bytes:
        """Return the whole object, verified. Raises ObjectCorrupted or Unavailable."""
        with _translate_read_errors():
            data = obstore.get(self._store, stored.key).bytes().to_bytes()
        if hashlib.sha256(data).hexdigest() != stored.sha256:
            raise ObjectCorrupted("A stored object does not match its SHA-256.")
        return data

    def read_range(self, stored: StoredObject, start: int, end: int) -> bytes:
        """Return bytes `start` to `end` (exclusive); of these, only the number is verified.

        Only these bytes are read. Raises ObjectCorrupted or Unavailable.
        """
        with _translate_read_errors():
            data = bytes(obstore.get_range(self._store, stored.key, start=start, end=end))
        if len(data) != end - start:
            raise ObjectCorrupted("A stored object is too short.")
        return data

    def stream(
        self, stored: StoredObject, start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Yield bytes `start` to `end` (exclusive) in chunks of at most CHUNK bytes, unverified.

        Raises ObjectCorrupted or Unavailable.
        """
        end = stored.bytes if end is None else end
        for offset in range(start, end, CHUNK):
            yield self.read_range(stored, offset, min(end, offset + CHUNK))

    def stream_verified(self, stored: StoredObject) -> Iterator[bytes]:
        """Yield the whole object in chunks of at most CHUNK bytes.

        The last chunk is held back until the SHA-256 has been checked, so that a reader never
        receives all bytes of a damaged object. Raises ObjectCorrupted or Unavailable.
        """
        digest, held_back = hashlib.sha256(), b""
        for chunk in self.stream(stored):
            if held_back:
                yield held_back
            digest.update(chunk)
            held_back = chunk
        if digest.hexdigest() != stored.sha256:
            raise ObjectCorrupted("A stored object does not match its SHA-256.")
        yield held_back

    @contextmanager
    def open(self, stored: StoredObject) -> Iterator[Path]:
        """Yield the path of a local, verified file with the object's bytes, for memory mapping.

        For a folder it is the stored file itself, which must not be changed. For an object store it
        is a copy that is deleted when the block ends. Raises ObjectCorrupted.
        """
        if self._root is not None:
            path = self._root / stored.key
            _verify(path, stored)
            yield path
            return
        path = self._scratch / new_id("object")
        try:
            with path.open("wb") as file, _translate_write_errors():
                for chunk in self.stream(stored):
                    file.write(chunk)
            _verify(path, stored)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; ignore keys that do not exist."""
        for key in keys:
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                continue

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys of all objects under `prefix/`."""
        for batch in obstore.list(self._store, prefix):
            yield from (entry["path"] for entry in batch)

    def free_bytes(self) -> int | None:
        """Return the free disk space of a folder; None for an object store."""
        return None if self._root is None else shutil.disk_usage(self._root).free

    def check_available(self) -> None:
        """Raise Unavailable unless objects can be listed, and written in case of a folder.

        Nothing is written, because health checks call this all the time.
        """
        try:
            next(iter(obstore.list(self._store, "t/health", chunk_size=1)), None)
        except (BaseError, OSError) as error:
            raise _store_unavailable() from error
        if self._root is not None and not os.access(self._root, os.W_OK):
            raise _store_unavailable()

    def _sync(self, key: str) -> None:
        """Flush the file and its parent folders to disk, so that they survive a power failure."""
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
        raise ObjectCorrupted("A stored object is missing.") from error
    if sha256 != stored.sha256:
        raise ObjectCorrupted("A stored object does not match its SHA-256.")


def _store_unavailable() -> Unavailable:
    return Unavailable("The object store does not respond. Retry later.", code="storage_down")


@contextmanager
def _translate_read_errors() -> Iterator[None]:
    """Raise ObjectCorrupted for a missing object, and Unavailable for other errors of the store."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectCorrupted("A stored object is missing.") from error
    except (BaseError, OSError) as error:
        raise _store_unavailable() from error


@contextmanager
def _translate_write_errors() -> Iterator[None]:
    """Raise StorageFull for a full disk, and Unavailable for other errors of the store."""
    try:
        yield
    except (BaseError, OSError) as error:
        is_full = getattr(error, "errno", None) in DISK_FULL_ERRNOS
        # obstore reports the errno only in its text: 28 is ENOSPC, 27 is EFBIG.
        if is_full or "os error 28" in str(error) or "os error 27" in str(error):
            raise StorageFull("The object store has no space left.") from error
        raise _store_unavailable() from error


@lru_cache
def get_storage() -> Storage:
    return Storage.from_url(get_settings().storage_url, process_folder.get())
