"""Reading of uploaded image files: writes x.npy, y.npy and preview.png, returns a summary."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import ARCHIVE_SUFFIXES, HEAD_BYTES, IMAGE_TYPES, unsupported_file_type
from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable, StorageFull
from core.limits import Limits
from modalities.image.upload.archive import (
    Archive,
    DecompressedReader,
    Reader,
    detect_format,
    open_archive,
)
from modalities.image.upload.archive import nested as nested_archives
from modalities.image.upload.archive_index import (
    ArchiveIndex,
    describe_ignored,
    index_archive,
    is_hidden,
)
from modalities.image.upload.arrays import idx, npz, parquet_images
from modalities.image.upload.arrays.array_reader import read_arrays
from modalities.image.upload.arrays.npy_store import BLOCK_BYTES
from modalities.image.upload.arrays.parquet_footer import ARROW_SIGNATURES, SIGNATURE
from modalities.image.upload.arrays.pixel_columns import find_pixel_columns, read_head
from modalities.image.upload.arrays.pixel_table import read_pixel_table
from modalities.image.upload.decode import FORMATS, strict_decoding
from modalities.image.upload.decoded_dataset import DecodedDataset
from modalities.image.upload.finalize import finalize
from modalities.image.upload.folder_reader import read_image_files
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.summary import ImageSummary

_MAX_NESTING = 2  # levels of archives in archives


def read_images(
    files: Sequence[SourceFile], options: ImageOptions, limits: Limits, out: Path
) -> ImageSummary:
    """Write x.npy, y.npy and preview.png into the folder `out`.

    x.npy is (N, H, W) or (N, H, W, 3) uint8: the training split, then the test split, each in the
    order of the upload. y.npy is (N,) int32: indices into `labels`, -1 for unlabeled images.

    Raises DatasetUnreadable or StorageFull; the caller must then clear `out`.
    """
    options.check(limits)
    try:
        with strict_decoding():
            return finalize(_read_files(files, options, limits, out), limits, out)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("There is not enough disk space to read the images.") from error
        raise


def _read_files(
    files: Sequence[SourceFile], options: ImageOptions, limits: Limits, out: Path
) -> DecodedDataset:
    formats = [detect_format(file.path, file.name) for file in files]
    if len(files) == 1 and formats[0].is_archive:
        with open_archive(
            files[0].path, files[0].name, limits=limits, name_encoding=options.name_encoding
        ) as archive:
            return _read_outer_archive(archive, files[0], options, limits, out)
    if files and all(detected.file_type == "idx" for detected in formats):
        arrays = [
            idx.read_idx(file.name, _file_opener(file, detected.compression))
            for file, detected in zip(files, formats, strict=True)
        ]
        return read_arrays(idx.group_splits(arrays), options, limits, format="idx", out=out)
    for format, signatures in (("parquet", SIGNATURE), ("arrow", ARROW_SIGNATURES)):
        if files and all(_starts_with(file, signatures) for file in files):
            return parquet_images.read_parquet_images(
                files, options, limits, format=format, out=out
            )
    tables = [
        (file.name, _file_opener(file, detected.compression))
        for file, detected in zip(files, formats, strict=True)
    ]
    if files and all(_is_pixel_table(opener) for _, opener in tables):
        return _read_pixel_tables(tables, options, limits, format="csv", out=out, notes=[])
    for file, detected in zip(files, formats, strict=True):
        if not detected.is_archive and detected.file_type != "idx":
            raise _unsupported_file_error(file, detected.file_type)
    message = "Send one archive, or the idx files of one dataset: images and labels of each split."
    raise unreadable_error("unsupported_file_combination", message)


def _read_outer_archive(
    archive: Archive, file: SourceFile, options: ImageOptions, limits: Limits, out: Path
) -> DecodedDataset:
    """Read an archive, or the archives in it if it does not hold images."""
    index = index_archive(archive)
    with ExitStack() as stack:
        for _ in range(_MAX_NESTING):
            nested = _with_suffix(archive, index, ARCHIVE_SUFFIXES)
            if not nested or index.npy or index.idx or len(index.images) >= limits.images_min:
                break
            archive = stack.enter_context(
                nested_archives.open_nested(
                    archive,
                    nested,
                    limits=limits,
                    name_encoding=options.name_encoding,
                    packed_bytes=file.path.stat().st_size,
                    folder=out,
                )
            )
            index = index_archive(archive)
        return _read_archive(archive, index, options, limits, out)


def _read_archive(
    archive: Archive, index: ArchiveIndex, options: ImageOptions, limits: Limits, out: Path
) -> DecodedDataset:
    if len(index.images) >= limits.images_min or (
        index.images and not _pixel_tables(archive, index)
    ):
        return read_image_files(archive, index, options, limits, out=out)
    notes = describe_ignored(index.ignored_kinds(archive.names, ()))
    if index.npy:
        splits, names, npz_notes = npz.group_splits(npz.read_npz(archive, index.npy), limits)
        format = "npz" if archive.format == "zip" else f"{archive.format}-npy"
        notes = notes + npz_notes
        return read_arrays(
            splits, options, limits, format=format, out=out, class_names=names, notes=notes
        )
    if index.idx:
        splits = idx.group_splits(
            [
                idx.read_idx(archive.names[i], _member_opener(archive, i, compression))
                for i, compression in index.idx.items()
            ]
        )
        format = f"{archive.format}-idx"
        return read_arrays(splits, options, limits, format=format, out=out, notes=notes)
    for format, suffixes in (("parquet", (".parquet", ".pq")), ("arrow", (".arrow",))):
        if members := _with_suffix(archive, index, suffixes):
            return _read_archived_tables(archive, members, options, limits, out, format=format)
    if pixel_tables := _pixel_tables(archive, index):
        notes = describe_ignored(index.ignored_kinds(archive.names, pixel_tables))
        tables = [(archive.names[i], opener) for i, opener in pixel_tables.items()]
        return _read_pixel_tables(
            tables, options, limits, format=f"{archive.format}-csv", out=out, notes=notes
        )
    others = index.ignored_kinds(archive.names, ())
    held = ", ".join(f"{each.kind} ({printable(each.example)})" for each in others[:3])
    message = (
        f"{printable(archive.name)} holds no images{f', but {held}' if held else ''}. Supported "
        f"files are {FORMATS}, npz, idx, and tables of pixels as CSV or of images as Parquet. "
        "Save the arrays of other files, such as MATLAB, HDF5, TFRecord or pickle, as x and y in "
        "one .npz file."
    )
    raise unreadable_error("archive_empty", message, pointer=file_pointer(archive.name))


def _with_suffix(archive: Archive, index: ArchiveIndex, suffixes: tuple[str, ...]) -> list[int]:
    return [
        i
        for i in index.ignored
        if archive.names[i].lower().endswith(suffixes) and not is_hidden(archive.names[i])
    ]


def _read_archived_tables(
    archive: Archive,
    indices: Sequence[int],
    options: ImageOptions,
    limits: Limits,
    out: Path,
    *,
    format: str,
) -> DecodedDataset:
    """Unpack Parquet or Arrow files, which are read in any order, and read them."""
    with TemporaryDirectory(dir=out) as folder:
        files = []
        for i, reader in archive.open_members(indices):
            files.append(SourceFile(Path(folder) / str(i), archive.names[i]))
            with files[-1].path.open("wb") as unpacked:
                while chunk := reader.read(BLOCK_BYTES):
                    unpacked.write(chunk)
        return parquet_images.read_parquet_images(
            files, options, limits, format=f"{archive.format}-{format}", out=out
        )


def _read_pixel_tables(
    tables: Sequence[tuple[str, idx.Opener]],
    options: ImageOptions,
    limits: Limits,
    *,
    format: str,
    out: Path,
    notes: Sequence[str],
) -> DecodedDataset:
    with TemporaryDirectory(dir=out) as folder:
        splits = [
            split
            for name, opener in tables
            for split in read_pixel_table(name, opener, limits, Path(folder))
        ]
        if all(split.is_test for split in splits):
            splits = [split._replace(is_test=False) for split in splits]
        labeled = [split for split in splits if split.labels is not None]
        left_out = [split for split in splits if labeled and split.labels is None]
        notes = [*notes, *(f"{split.images.name} has no labels: left out." for split in left_out)]
        return read_arrays(labeled or splits, options, limits, format=format, out=out, notes=notes)


def _pixel_tables(archive: Archive, index: ArchiveIndex) -> dict[int, idx.Opener]:
    """Return the tables of pixels in an archive, by their index."""
    openers = {
        i: _member_opener(archive, i)
        for i in _with_suffix(archive, index, (".csv", ".tsv", ".txt"))
    }
    return {i: opener for i, opener in openers.items() if _is_pixel_table(opener)}


def _is_pixel_table(opener: idx.Opener) -> bool:
    with opener() as reader:
        return find_pixel_columns(read_head(reader)) is not None


def _starts_with(file: SourceFile, signatures: bytes | tuple[bytes, ...]) -> bool:
    with file.path.open("rb") as stream:
        return stream.read(HEAD_BYTES).startswith(signatures)


def _member_opener(archive: Archive, i: int, compression: str = "") -> idx.Opener:
    @contextmanager
    def open_file() -> Iterator[Reader]:
        for _, reader in archive.open_members([i]):
            name = archive.names[i]
            yield DecompressedReader(reader, compression, name=name) if compression else reader

    return open_file


def _file_opener(file: SourceFile, compression: str) -> idx.Opener:
    @contextmanager
    def open_file() -> Iterator[Reader]:
        with file.path.open("rb") as stream:
            yield DecompressedReader(stream, compression, name=file.name) if compression else stream

    return open_file


def _unsupported_file_error(file: SourceFile, file_type: str) -> DatasetUnreadable:
    with file.path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    name, pointer = printable(file.name), file_pointer(file.name)
    if not head:
        return unreadable_error("archive_empty", f"{name} is empty.", pointer=pointer)
    if file_type in IMAGE_TYPES:
        problem = "is a single image. Put the images into one folder per label and zip the folders"
    elif file_type == "npy":
        problem = "is a single array. Save the images as x and the labels as y in one .npz file"
    else:
        unsupported = unsupported_file_type(head)
        problem = (
            f"is {'not a set of images' if unsupported is None else f'a {unsupported}'}. "
            "Send images as a zip or tar with one folder per label, an npz with x and y, or idx "
            "files, or a table as CSV, JSON, Parquet, Arrow or an Excel workbook"
        )
    return unreadable_error("archive_invalid", f"{name} {problem}.", pointer=pointer)
