"""Archives as a list of safe names and a stream of their contents; nothing is written to disk."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from core.datasets.faults import pointer_to, shown, unreadable
from core.datasets.images.archive.tar import TarArchive
from core.datasets.images.archive.zip import ZipArchive
from core.datasets.signature import HEAD_BYTES, PACKED, kind_of
from core.datasets.stream import Reader, Unpacked, read_up_to
from core.settings import Limits

__all__ = ["Archive", "Content", "Reader", "Unpacked", "content_of", "open_archive", "read_up_to"]


class Content(NamedTuple):
    """What a file is (`kind`, see `kind_of`) once `packing` ("gz", "bz2", "xz" or "") is undone."""

    packing: str
    kind: str

    @property
    def is_archive(self) -> bool:
        return self.kind == "tar" or self == ("", "zip")


class Archive(Protocol):
    """The files of an archive, in its order. Everything raises UnreadableDataset."""

    name: str
    format: str  # "zip", "tar", "tar.gz"…
    names: list[str]  # relative, NFC, "/" between levels, unique even where case is ignored

    def streams(self, wanted: Iterable[int]) -> Iterator[tuple[int, Reader]]:
        """The contents of the files at these places in `names`, which must ascend.

        A Reader is good until the next one is asked for. It never gives more than the size that
        was counted against `limits.archive_bytes`, and its end is reached only if all was well.
        """

    def refuse_bombs(self) -> None:
        """Hold single files to their limits in size and ratio.

        Left to the caller because arrays, which their own headers bound, may be larger and pack
        better than images do.
        """


@contextmanager
def open_archive(path: Path, name: str, *, limits: Limits) -> Iterator[Archive]:
    """`name` stands in messages. What is no archive, or an unsafe one, is refused at once."""
    content = content_of(path, name)
    with path.open("rb") as file:
        if content == ("", "zip"):
            yield ZipArchive(file, name=name, limits=limits)
        elif content.kind == "tar":
            yield TarArchive(file, name=name, packing=content.packing, limits=limits)
        else:
            message = f"{shown(name)} is neither a zip nor a tar archive"
            raise unreadable("archive_invalid", message, pointer=pointer_to(name))


def content_of(path: Path, name: str) -> Content:
    with path.open("rb") as file:
        kind = kind_of(file.read(HEAD_BYTES))
        if kind not in PACKED:
            return Content("", kind)
        file.seek(0)
        return Content(kind, kind_of(read_up_to(Unpacked(file, kind, name=name), HEAD_BYTES)))
