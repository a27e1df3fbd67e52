"""Index of an archive's files by purpose: images, arrays and other files."""

import io
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from core.datasets.errors import printable
from core.datasets.file_type import HEAD_BYTES, IMAGE_TYPES, detect_file_type
from core.errors import DatasetUnreadable
from modalities.image.upload.archive import Archive, DecompressedReader, read_up_to

IMAGE_SUFFIX = re.compile(
    r"\.(a?png|jpe?g|jpe|jfif|webp|bmp|dib|gif|tiff?|ico|icns|psd|eps|svg|dds|hei[cf]|avif|jp2|j2k"
    r"|jxl|tga|p[pgbn]m|pcx|raw|dng|cr2|nef|arw|exr|hdr)",
    re.IGNORECASE,
)
_OTHER_SUFFIX = re.compile(
    r"\.(txt|md|rst|html?|css|js|csv|tsv|jsonl?|ndjson|xml|ya?ml|toml|ini|cfg|log|pdf|docx?|odt|xlsx?"
    r"|lst|cls|py|ipynb|m|sh|bat|lnk|url|db|mat|pkl|pickle|pth?|h5|hdf5|parquet|arrow|tfrecord|mp[34]|mov|avi|wav)",
    re.IGNORECASE,
)
_DRAWING = re.compile(r"\.(svg|psd|eps|ai)$", re.IGNORECASE)
_JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_PEEK_BYTES = 8 * HEAD_BYTES  # enough compressed bytes to decompress the head of a gzip file
_MAX_KINDS = 8
_DESCRIPTIVE_SUFFIXES = frozenset(
    {".csv", ".tsv", ".json", ".jsonl", ".xml", ".txt", ".mat", ".parquet", ".xlsx", ".npy"}
)
HIDDEN_KIND = "hidden files"


class IgnoredKind(NamedTuple):
    kind: str  # a suffix in lower case, or HIDDEN_KIND
    files: int
    example: str


@dataclass
class ArchiveIndex:
    """Indices into `Archive.names`, by purpose."""

    images: list[int] = field(default_factory=list)
    npy: list[int] = field(default_factory=list)
    idx: dict[int, str] = field(default_factory=dict)  # with the compression, "" for none
    ignored: list[int] = field(default_factory=list)

    def ignored_kinds(self, names: Sequence[str], used: Collection[int]) -> list[IgnoredKind]:
        """Return the kinds of ignored files, except those whose indices are in `used`.

        Kinds that may describe the images come first, then the others by their number of files.
        """
        counts: Counter[str] = Counter()
        examples: dict[str, str] = {}
        for i in self.ignored:
            if i not in used:
                kind = _kind_of(names[i])
                counts[kind] += 1
                examples.setdefault(kind, names[i])
        kinds = [IgnoredKind(kind, count, examples[kind]) for kind, count in counts.items()]
        return sorted(kinds, key=lambda each: (_weight(each.kind), -each.files))


def describe_ignored(kinds: Sequence[IgnoredKind]) -> list[str]:
    """Return a note about ignored files, with an example of each kind."""
    if not kinds:
        return []
    parts = [f"{each.files:,} {each.kind} ({printable(each.example)})" for each in kinds]
    more = f" and {len(parts) - _MAX_KINDS} more kinds" if len(parts) > _MAX_KINDS else ""
    total = sum(each.files for each in kinds)
    return [f"Ignored {total:,} files: {', '.join(parts[:_MAX_KINDS])}{more}."]


def _kind_of(name: str) -> str:
    if is_hidden(name):
        return HIDDEN_KIND
    return posixpath.splitext(name)[1].lower() or "without a suffix"


def _weight(kind: str) -> int:
    return 2 if kind == HIDDEN_KIND else 0 if kind in _DESCRIPTIVE_SUFFIXES else 1


def index_archive(archive: Archive) -> ArchiveIndex:
    """Classify by file name suffix if that is conclusive, otherwise by the first bytes.

    Thus an image may have any name. Images take precedence: arrays next to images are ignored.
    """
    index = ArchiveIndex()
    unclear = []
    for i, name in enumerate(archive.names):
        suffix = posixpath.splitext(name)[1]
        if is_hidden(name):
            index.ignored.append(i)
        elif IMAGE_SUFFIX.fullmatch(suffix):
            index.images.append(i)
        elif _OTHER_SUFFIX.fullmatch(suffix):
            index.ignored.append(i)
        else:
            unclear.append(i)
    for i, reader in archive.open_members(unclear):
        _classify_by_head(index, i, read_up_to(reader, _PEEK_BYTES))
    index.images.sort()
    _ignore_drawings(index, archive.names)
    index.ignored += [*index.npy, *index.idx] if index.images else []
    index.ignored.sort()
    return index


def _ignore_drawings(index: ArchiveIndex, names: Sequence[str]) -> None:
    """Ignore SVG and Photoshop files if nearly all have the name of another image."""
    drawings = [i for i in index.images if _DRAWING.search(names[i])]
    pictures = {_file_stem(names[i]) for i in set(index.images) - set(drawings)}
    copies = sum(_file_stem(names[i]) in pictures for i in drawings)
    if drawings and copies >= 0.9 * len(drawings):
        index.images = [i for i in index.images if not _DRAWING.search(names[i])]
        index.ignored += drawings


def _file_stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0].casefold()


def _classify_by_head(index: ArchiveIndex, i: int, head: bytes) -> None:
    file_type = detect_file_type(head[:HEAD_BYTES])
    if file_type in IMAGE_TYPES:
        index.images.append(i)
    elif file_type == "npy":
        index.npy.append(i)
    elif file_type == "idx":
        index.idx[i] = ""
    elif file_type == "gz" and _gzipped_type(head) == "idx":
        index.idx[i] = "gz"
    else:
        index.ignored.append(i)


def _gzipped_type(compressed_head: bytes) -> str:
    try:
        return detect_file_type(
            DecompressedReader(io.BytesIO(compressed_head), "gz", name="").read(HEAD_BYTES)
        )
    except DatasetUnreadable:
        return ""


def is_hidden(name: str) -> bool:
    """Return True for files of operating systems, and names that start with a dot."""
    return any(level.startswith(".") or level.lower() in _JUNK_NAMES for level in name.split("/"))
