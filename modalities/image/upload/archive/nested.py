"""Archives in an archive, such as `train.zip` and `test.zip` next to a table of labels."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from core.datasets.file_type import ARCHIVE_SUFFIXES
from core.datasets.stream import Reader
from core.limits import Limits
from modalities.image.upload.archive import Archive, decompression_limits, open_archive
from modalities.image.upload.archive.names import check_duplicates

_MAX_ARCHIVES = 100
_CHUNK_BYTES = 1024 * 1024


class _Part(NamedTuple):
    archive: Archive
    members: Sequence[int]  # indices in `archive`


class NestedArchive:
    """An `Archive` of the files of several archives."""

    def __init__(self, outer: Archive, parts: Sequence[tuple[str, _Part]]) -> None:
        self.name, self.format = outer.name, outer.format
        self._parts = [part for _, part in parts]
        self.names = [
            f"{folder}{part.archive.names[i]}" for folder, part in parts for i in part.members
        ]
        encodings = [part.archive.name_encoding for part in self._parts]
        self.name_encoding = next(filter(None, encodings), None)
        check_duplicates(self.names)

    def open_members(self, indices: Iterable[int]) -> Iterator[tuple[int, Reader]]:
        chosen = list(indices)
        start = 0
        for part in self._parts:
            end = start + len(part.members)
            here = chosen[bisect_left(chosen, start) : bisect_left(chosen, end)]
            members = part.archive.open_members(part.members[i - start] for i in here)
            for i, (_, reader) in zip(here, members, strict=True):
                yield i, reader
            start = end

    def check_bombs(self) -> None:
        for part in self._parts[1:]:  # the first one holds the archives, which may be large
            part.archive.check_bombs()


@contextmanager
def open_nested(
    archive: Archive,
    nested: Sequence[int],
    *,
    limits: Limits,
    name_encoding: str | None,
    packed_bytes: int,
    folder: Path,
) -> Iterator[Archive]:
    """Unpack the archives `nested`, which are indices in `archive`, and open all as one.

    The files of `train.zip` are in the folder `train`. They are unpacked into `folder`.
    `packed_bytes` is the size of the file that is `archive`.

    Raises DatasetUnreadable if there are too many, or if they are too large.
    """
    if len(nested) > _MAX_ARCHIVES:
        raise decompression_limits.too_many_entries_error(archive.name, limits)
    archives = set(nested)
    others = [i for i in range(len(archive.names)) if i not in archives]
    parts = [("", _Part(archive, others))]
    remaining = min(
        limits.archive_bytes,
        max(decompression_limits.RATIO_FREE_BYTES, limits.archive_ratio * packed_bytes),
    )
    with TemporaryDirectory(dir=folder) as unpacked, ExitStack() as stack:
        for i, reader in archive.open_members(nested):
            path = Path(unpacked) / str(i)
            with path.open("wb") as file:
                while chunk := reader.read(min(_CHUNK_BYTES, remaining + 1)):
                    remaining -= file.write(chunk)
                    if remaining < 0:
                        raise decompression_limits.total_size_error(archive.name, limits)
            inner = stack.enter_context(
                open_archive(path, archive.names[i], limits=limits, name_encoding=name_encoding)
            )
            parts.append((f"{stem(archive.names[i])}/", _Part(inner, range(len(inner.names)))))
        yield NestedArchive(archive, parts)


def stem(name: str) -> str:
    """Return the name of an archive without its suffix."""
    suffix = max(
        (each for each in ARCHIVE_SUFFIXES if name.lower().endswith(each)), key=len, default=""
    )
    return name[: len(name) - len(suffix)]
