"""Archives as a list of safe names and a stream of their contents; nothing is written to disk."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import COMPRESSED_TYPES, HEAD_BYTES, detect_file_type
from core.datasets.images.archive.tar import TarArchive
from core.datasets.images.archive.zip import ZipArchive
from core.datasets.stream import DecompressedReader, Reader, read_up_to
from core.settings import Limits

__all__ = [
    "Archive",
    "DecompressedReader",
    "DetectedFormat",
    "Reader",
    "detect_format",
    "open_archive",
    "read_up_to",
]


class DetectedFormat(NamedTuple):
    """What a file is (`file_type`, see `detect_file_type`) once `compression` ("gz", "bz2", "xz" or "") is undone."""

    compression: str
    file_type: str

    @property
    def is_archive(self) -> bool:
        return self.file_type == "tar" or self == ("", "zip")


class Archive(Protocol):
    """The files of an archive, in its order. Everything raises DatasetUnreadable."""

    name: str
    format: str  # "zip", "tar", "tar.gz"…
    names: list[str]  # relative, NFC, "/" between levels, unique even where case is ignored

    def open_members(self, indices: Iterable[int]) -> Iterator[tuple[int, Reader]]:
        """The contents of the files at these places in `names`, which must ascend.

        A Reader is good until the next one is asked for. It never gives more than the size that
        was counted against `limits.archive_bytes`, and its end is reached only if all was well.
        """

    def check_bombs(self) -> None:
        """Hold single files to their limits in size and ratio.

        Left to the caller because arrays, which their own headers bound, may be larger and pack
        better than images do.
        """


@contextmanager
def open_archive(path: Path, name: str, *, limits: Limits) -> Iterator[Archive]:
    """`name` stands in messages. What is no archive, or an unsafe one, is refused at once."""
    content = detect_format(path, name)
    with path.open("rb") as file:
        if content == ("", "zip"):
            yield ZipArchive(file, name=name, limits=limits)
        elif content.file_type == "tar":
            yield TarArchive(file, name=name, compression=content.compression, limits=limits)
        else:
            message = f"{printable(name)} is neither a zip nor a tar archive"
            raise unreadable_error("archive_invalid", message, pointer=file_pointer(name))


def detect_format(path: Path, name: str) -> DetectedFormat:
    with path.open("rb") as file:
        kind = detect_file_type(file.read(HEAD_BYTES))
        if kind not in COMPRESSED_TYPES:
            return DetectedFormat("", kind)
        file.seek(0)
        return DetectedFormat(
            kind,
            detect_file_type(read_up_to(DecompressedReader(file, kind, name=name), HEAD_BYTES)),
        )
