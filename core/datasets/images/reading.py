"""From uploaded files to x.npy, y.npy, preview.png and a summary."""

import errno
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import HEAD_BYTES, IMAGE_TYPES, unsupported_file_type
from core.datasets.images import idx, npz
from core.datasets.images.archive import (
    Archive,
    DecompressedReader,
    Reader,
    detect_format,
    open_archive,
)
from core.datasets.images.archive_index import ArchiveIndex, index_archive
from core.datasets.images.array_reader import read_arrays
from core.datasets.images.data_quality import find_issues
from core.datasets.images.decode import strict_decoding
from core.datasets.images.decoded_dataset import DecodedDataset
from core.datasets.images.folder_reader import read_image_files
from core.datasets.images.labels import UNLABELED
from core.datasets.images.lazy_array import LazyArray
from core.datasets.images.npy_store import StoredImages
from core.datasets.images.options import ImageOptions
from core.datasets.images.preview import draw_preview
from core.datasets.images.summary import ImageSummary, Label
from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable, StorageFull
from core.settings import Limits


def read_images(
    files: Sequence[SourceFile], options: ImageOptions, limits: Limits, out: Path
) -> ImageSummary:
    """Write x.npy, y.npy and preview.png into the folder `out`.

    x.npy is (N, H, W) or (N, H, W, 3) uint8, the training part first, the order of the upload kept
    in each part; y.npy is the int32 index into `labels`, -1 for an image without one. Raises
    DatasetUnreadable, or StorageFull; `out` is then the caller's to clear.
    """
    options.check(limits)
    try:
        with strict_decoding():
            return finalize(_gather(files, options, limits, out), limits, out)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("there is no room left to read the images") from error
        raise


def _gather(
    files: Sequence[SourceFile], options: ImageOptions, limits: Limits, out: Path
) -> DecodedDataset:
    contents = [detect_format(file.path, file.name) for file in files]
    if len(files) == 1 and contents[0].is_archive:
        with open_archive(files[0].path, files[0].name, limits=limits) as archive:
            return _gather_archive(archive, options, limits, out)
    if files and all(content.file_type == "idx" for content in contents):
        arrays = [
            idx.read_idx(file.name, _file_opener(file, content.compression))
            for file, content in zip(files, contents, strict=True)
        ]
        return read_arrays(idx.group_splits(arrays), options, limits, format="idx", out=out)
    for file, content in zip(files, contents, strict=True):
        if not content.is_archive and content.file_type != "idx":
            raise _unknown(file, content.file_type)
    message = "send one archive, or the files of one idx set: images and labels, each for a part"
    raise unreadable_error("unsupported_file_combination", message)


def _gather_archive(
    archive: Archive, options: ImageOptions, limits: Limits, out: Path
) -> DecodedDataset:
    contents = index_archive(archive)
    if contents.images:
        return read_image_files(archive, contents, options, limits, out=out)
    notes = contents.notes(archive.names)
    if contents.npy:
        parts, names, more = npz.group_splits(npz.read_npz(archive, contents.npy), limits)
        form = "npz" if archive.format == "zip" else f"{archive.format}-npy"
        return read_arrays(
            parts, options, limits, format=form, out=out, class_names=names, notes=notes + more
        )
    if contents.idx:
        parts = idx.group_splits(_idx_arrays(archive, contents))
        form = f"{archive.format}-idx"
        return read_arrays(parts, options, limits, format=form, out=out, notes=notes)
    message = f"{printable(archive.name)} holds no images; PNG, JPEG, WebP, npz and idx are read"
    raise unreadable_error("archive_empty", message, pointer=file_pointer(archive.name))


def _idx_arrays(archive: Archive, contents: ArchiveIndex) -> list[LazyArray]:
    def opener(place: int) -> idx.Opener:
        @contextmanager
        def opened() -> Iterator[Reader]:
            for _, reader in archive.open_members([place]):
                packed = place in contents.gzipped_idx
                yield (
                    DecompressedReader(reader, "gz", name=archive.names[place])
                    if packed
                    else reader
                )

        return opened

    return [idx.read_idx(archive.names[place], opener(place)) for place in contents.idx]


def _file_opener(file: SourceFile, packing: str) -> idx.Opener:
    @contextmanager
    def opened() -> Iterator[Reader]:
        with file.path.open("rb") as stream:
            yield DecompressedReader(stream, packing, name=file.name) if packing else stream

    return opened


def _unknown(file: SourceFile, kind: str) -> DatasetUnreadable:
    with file.path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    name, pointer = printable(file.name), file_pointer(file.name)
    if not head:
        return unreadable_error("archive_empty", f"{name} is empty", pointer=pointer)
    if kind in IMAGE_TYPES:
        problem = "is one image; put the images into class folders and these into a zip"
    elif kind == "npy":
        problem = "is one array; save images x and labels y together as .npz"
    else:
        found = unsupported_file_type(head)
        problem = (
            f"is {'not a set of images' if found is None else f'a {found}'}; send a zip or tar of "
            "images in class folders, an npz with x and y, or idx files"
        )
    return unreadable_error("archive_invalid", f"{name} {problem}", pointer=pointer)


def finalize(decoded: DecodedDataset, limits: Limits, out: Path) -> ImageSummary:
    """Once x.npy is in `out`: y.npy, preview.png and the summary."""
    n_train, total = decoded.n_train, len(decoded.y)
    _refuse_numbers(n_train, total, limits)
    y, names = _labels_in_use(decoded.y, decoded.class_names)
    labels = _counted(y, n_train, names)
    np.save(out / "y.npy", y)
    images = StoredImages(out / "x.npy")
    issues = find_issues(images, y, n_train=n_train, labels=labels, name_of=decoded.name_of)
    draw_preview(images, y[:n_train], names, path=out / "preview.png")
    return ImageSummary(
        height=decoded.size[0],
        width=decoded.size[1],
        channels=decoded.channels,
        labels=labels,
        unlabeled=not labels,
        n_train=n_train,
        n_test=total - n_train,
        format=decoded.format,
        issues=(*decoded.issues, *issues),
        notes=tuple(decoded.notes),
        x_sha256=_sha256(out / "x.npy"),
        y_sha256=_sha256(out / "y.npy"),
    )


def _refuse_numbers(n_train: int, total: int, limits: Limits) -> None:
    if total > limits.images_max:
        message = f"there are {total:,} images; at most {limits.images_max:,} are read"
        raise unreadable_error("too_many_images", message)
    if n_train < limits.images_min:
        held_out = f" besides {total - n_train:,} held out" if total > n_train else ""
        message = (
            f"there are {n_train:,} images to learn from{held_out}; "
            f"at least {limits.images_min:,} are needed"
        )
        raise unreadable_error("too_few_images", message)


def _labels_in_use(
    y: NDArray[np.int32], names: Sequence[str]
) -> tuple[NDArray[np.int32], list[str]]:
    """Without the labels whose every image was damaged and left out."""
    used = np.unique(y[y != UNLABELED])
    places = np.full(len(names) + 1, UNLABELED, np.int32)  # the last one is for index -1
    places[used] = np.arange(len(used))
    return places[y], [names[code] for code in used]


def _counted(y: NDArray[np.int32], n_train: int, names: Sequence[str]) -> tuple[Label, ...]:
    trained, held_out = (
        np.bincount(part[part != UNLABELED], minlength=len(names))
        for part in (y[:n_train], y[n_train:])
    )
    return tuple(
        Label(name, int(trained[code]), int(held_out[code])) for code, name in enumerate(names)
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
