"""What an archive holds, file by file: pictures, arrays, a manifest, or nothing of interest."""

import io
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.datasets.errors import printable
from core.datasets.file_type import HEAD_BYTES, IMAGE_TYPES, detect_file_type
from core.datasets.images import labels_file
from core.datasets.images.archive import Archive, DecompressedReader, read_up_to
from core.errors import DatasetUnreadable

_PICTURE_ENDING = re.compile(
    r"\.(a?png|jpe?g|jpe|jfif|webp|bmp|dib|gif|tiff?|ico|icns|psd|eps|svg|dds|hei[cf]|avif|jp2|j2k"
    r"|jxl|tga|p[pgbn]m|pcx|raw|dng|cr2|nef|arw|exr|hdr)",
    re.IGNORECASE,
)
_OTHER_ENDING = re.compile(
    r"\.(txt|md|rst|html?|css|js|csv|tsv|jsonl?|ndjson|xml|ya?ml|toml|ini|cfg|log|pdf|docx?|odt|xlsx?"
    r"|py|ipynb|m|sh|bat|lnk|url|db|mat|pkl|pickle|pth?|h5|hdf5|parquet|tfrecord|mp[34]|mov|avi|wav)",
    re.IGNORECASE,
)
_JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_PEEK_BYTES = 8 * HEAD_BYTES  # of a packed file, whose own head must be unpacked from it


@dataclass
class ArchiveIndex:
    """Places in the archive. `gzipped_idx` are those of `idx` that are packed with gzip."""

    images: list[int] = field(default_factory=list)
    npy: list[int] = field(default_factory=list)
    idx: list[int] = field(default_factory=list)
    gzipped_idx: set[int] = field(default_factory=set)
    labels_files: list[int] = field(default_factory=list)
    ignored: list[int] = field(default_factory=list)

    def notes(self, names: Sequence[str]) -> list[str]:
        if not self.ignored:
            return []
        examples = ", ".join(printable(names[i]) for i in self.ignored[:5])
        more = ", …" if len(self.ignored) > 5 else ""
        return [f"Ignored {len(self.ignored):,} files that are not images: {examples}{more}."]


def index_archive(archive: Archive) -> ArchiveIndex:
    """By ending where that is clear, else by content, so that a picture may have any name."""
    contents = ArchiveIndex()
    unclear = []
    for i, name in enumerate(archive.names):
        ending = posixpath.splitext(name)[1]
        if _is_junk(name):
            contents.ignored.append(i)
        elif posixpath.basename(name).lower() in labels_file.LABELS_FILE_NAMES:
            contents.labels_files.append(i)
        elif _PICTURE_ENDING.fullmatch(ending):
            contents.images.append(i)
        elif _OTHER_ENDING.fullmatch(ending):
            contents.ignored.append(i)
        else:
            unclear.append(i)
    for i, reader in archive.open_members(unclear):
        _sort_by_head(contents, i, read_up_to(reader, _PEEK_BYTES))
    contents.images.sort()
    contents.ignored += contents.npy + contents.idx if contents.images else contents.labels_files
    contents.ignored.sort()
    return contents


def _sort_by_head(contents: ArchiveIndex, i: int, head: bytes) -> None:
    kind = detect_file_type(head[:HEAD_BYTES])
    if kind in IMAGE_TYPES:
        contents.images.append(i)
    elif kind == "npy":
        contents.npy.append(i)
    elif kind == "idx":
        contents.idx.append(i)
    elif kind == "gz" and _kind_in(head) == "idx":
        contents.idx.append(i)
        contents.gzipped_idx.add(i)
    else:
        contents.ignored.append(i)


def _kind_in(packed_head: bytes) -> str:
    try:
        return detect_file_type(
            DecompressedReader(io.BytesIO(packed_head), "gz", name="").read(HEAD_BYTES)
        )
    except DatasetUnreadable:
        return ""


def _is_junk(name: str) -> bool:
    return any(level.startswith(".") or level.lower() in _JUNK_NAMES for level in name.split("/"))
