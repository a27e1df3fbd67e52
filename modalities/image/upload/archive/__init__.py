"""Reader of zip and tar archives: safe names and streamed contents, without writing to disk."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import COMPRESSED_TYPES, HEAD_BYTES, detect_file_type
from core.datasets.stream import DecompressedReader, Reader, read_up_to
from core.limits import Limits
from modalities.image.upload.archive.tar import TarArchive
from modalities.image.upload.archive.zip import ZipArchive

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
    """Compression of a file and the type of its decompressed content."""

    compression: str  # "gz", "bz2", "xz" or ""
    file_type: str  # see `detect_file_type`

    @property
    def is_archive(self) -> bool:
        return self.file_type == "tar" or self == ("", "zip")


class Archive(Protocol):
    """The files of an archive, in their order. All methods may raise DatasetUnreadable."""

    name: str
    format: str  # "zip", "tar", "tar.gz"…
    names: list[str]  # relative, NFC, "/" between levels, unique
    name_encoding: str | None  # of names that are not UTF-8; None if all are

    def open_members(self, indices: Iterable[int]) -> Iterator[tuple[int, Reader]]:
        """Yield the index and a reader for files in `names`. `indices` must be ascending.

        A reader is valid until the next one is requested. It never returns more bytes than were
        counted against `limits.archive_bytes`, and reports the end only if the file is intact.
        """

    def check_bombs(self) -> None:
        """Check single files against the limits of size and compression ratio.

        Called for images only: the headers of arrays limit their size, and arrays may be larger
        and compress better than images.
        """


@contextmanager
def open_archive(
    path: Path, name: str, *, limits: Limits, name_encoding: str | None = None
) -> Iterator[Archive]:
    """Open an archive and check its names. `name` is the file's name in error messages.

    `name_encoding` is that of names which are not UTF-8; None guesses it.

    Raises DatasetUnreadable if the file is not an archive or its directory is unsafe.
    """
    detected = detect_format(path, name)
    with path.open("rb") as file:
        if detected == ("", "zip"):
            yield ZipArchive(file, name=name, limits=limits, name_encoding=name_encoding)
        elif detected.file_type == "tar":
            yield TarArchive(file, name=name, compression=detected.compression, limits=limits)
        else:
            message = f"{printable(name)} is neither a zip nor a tar archive."
            raise unreadable_error("archive_invalid", message, pointer=file_pointer(name))


def detect_format(path: Path, name: str) -> DetectedFormat:
    with path.open("rb") as file:
        file_type = detect_file_type(file.read(HEAD_BYTES))
        if file_type not in COMPRESSED_TYPES:
            return DetectedFormat("", file_type)
        file.seek(0)
        reader = DecompressedReader(file, file_type, name=name)
        return DetectedFormat(file_type, detect_file_type(read_up_to(reader, HEAD_BYTES)))
