"""What an archive holds, file by file: pictures, arrays, a manifest, or nothing of interest."""

import io
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.datasets.faults import shown
from core.datasets.images import manifest
from core.datasets.images.archive import Archive, Unpacked, read_up_to
from core.datasets.signature import HEAD_BYTES, PICTURES, kind_of
from core.errors import UnreadableDataset

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
class Contents:
    """Places in the archive. `packed_idx` are those of `idx` that are packed with gzip."""

    pictures: list[int] = field(default_factory=list)
    npy: list[int] = field(default_factory=list)
    idx: list[int] = field(default_factory=list)
    packed_idx: set[int] = field(default_factory=set)
    manifests: list[int] = field(default_factory=list)
    ignored: list[int] = field(default_factory=list)

    def notes(self, names: Sequence[str]) -> list[str]:
        if not self.ignored:
            return []
        examples = ", ".join(shown(names[i]) for i in self.ignored[:5])
        more = ", …" if len(self.ignored) > 5 else ""
        return [f"Ignored {len(self.ignored):,} files that are not images: {examples}{more}."]


def sort_out(archive: Archive) -> Contents:
    """By ending where that is clear, else by content, so that a picture may have any name."""
    contents = Contents()
    unclear = []
    for i, name in enumerate(archive.names):
        ending = posixpath.splitext(name)[1]
        if _is_junk(name):
            contents.ignored.append(i)
        elif posixpath.basename(name).lower() in manifest.NAMES:
            contents.manifests.append(i)
        elif _PICTURE_ENDING.fullmatch(ending):
            contents.pictures.append(i)
        elif _OTHER_ENDING.fullmatch(ending):
            contents.ignored.append(i)
        else:
            unclear.append(i)
    for i, reader in archive.streams(unclear):
        _sort_by_head(contents, i, read_up_to(reader, _PEEK_BYTES))
    contents.pictures.sort()
    contents.ignored += contents.npy + contents.idx if contents.pictures else contents.manifests
    contents.ignored.sort()
    return contents


def _sort_by_head(contents: Contents, i: int, head: bytes) -> None:
    kind = kind_of(head[:HEAD_BYTES])
    if kind in PICTURES:
        contents.pictures.append(i)
    elif kind == "npy":
        contents.npy.append(i)
    elif kind == "idx":
        contents.idx.append(i)
    elif kind == "gz" and _kind_in(head) == "idx":
        contents.idx.append(i)
        contents.packed_idx.add(i)
    else:
        contents.ignored.append(i)


def _kind_in(packed_head: bytes) -> str:
    try:
        return kind_of(Unpacked(io.BytesIO(packed_head), "gz", name="").read(HEAD_BYTES))
    except UnreadableDataset:
        return ""


def _is_junk(name: str) -> bool:
    return any(level.startswith(".") or level.lower() in _JUNK_NAMES for level in name.split("/"))
