"""Reader of archives of image files; writes x.npy."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import unreadable_error
from core.settings import Limits
from modalities.image.upload.archive import Archive, read_up_to
from modalities.image.upload.archive_index import ArchiveIndex, describe_ignored
from modalities.image.upload.decode import (
    ImageProblem,
    include_range,
    is_deep,
    open_image,
    oriented_size,
)
from modalities.image.upload.decoded_dataset import DecodedDataset
from modalities.image.upload.image_loader import ImageLoader, NeedsValueRange
from modalities.image.upload.label_sources import Labeling, label_images
from modalities.image.upload.labels import rename_labels
from modalities.image.upload.npy_store import ImageStore
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.resize import Size, choose_size
from modalities.image.upload.value_range import ValueRange


def read_image_files(
    archive: Archive, index: ArchiveIndex, options: ImageOptions, limits: Limits, *, out: Path
) -> DecodedDataset:
    """Write the images to `out` in the archive's order, the training split first."""
    archive.check_bombs()
    names = [archive.names[i] for i in index.images]
    if len(names) > limits.images_max:
        message = (
            f"There are {len(names):,} images; the maximum is {limits.images_max:,} per dataset."
        )
        raise unreadable_error("too_many_images", message)
    labeling = label_images(archive, index, names, options, limits)
    labels = labeling.encoder
    class_names = rename_labels(labels.sorted_names(), options.class_names, limits)
    order, store, loader = _load_images(archive, index, labeling, options, limits, out)
    kinds = index.ignored_kinds(archive.names, labeling.used_files)
    return DecodedDataset(
        format=f"{archive.format}-{'folders' if labeling.source == 'none' else labeling.source}",
        class_names=class_names,
        y=labels.code_to_index()[labeling.codes[order]],
        n_train=store.n_train,
        size=store.size,
        channels=store.channels,
        name_of=lambda i: names[order[i]],
        notes=[
            *labeling.notes,
            *_name_notes(archive),
            *describe_ignored(kinds),
            *labels.notes(),
            *loader.notes(),
        ],
        issues=[*loader.issues(), *labeling.issues],
        layout={
            "labels_from": labeling.source,
            "parts": [part._asdict() for part in labeling.parts],
            "ignored": [kind._asdict() for kind in kinds],
        },
    )


def _load_images(
    archive: Archive,
    index: ArchiveIndex,
    labeling: Labeling,
    options: ImageOptions,
    limits: Limits,
    out: Path,
) -> tuple[NDArray[np.int64], ImageStore, ImageLoader]:
    """Decode the images. Returns the index of each stored image.

    Images with more than 8 bits are read twice, because their scale depends on all of them.
    """
    kept = np.flatnonzero(labeling.kept)
    members = [index.images[i] for i in kept]
    target = _target_size(archive, members, options, limits)
    value_range = None
    while True:
        with ImageStore(out) as store:
            loader = ImageLoader(
                store,
                options,
                limits,
                expected=len(members),
                target=target,
                value_range=value_range,
            )
            try:
                _add_images(loader, archive, members, kept, labeling, limits)
            except NeedsValueRange:
                value_range = _scan_range(archive, members, limits)
                continue
            loader.finish()
        order = np.array(loader.loaded_indices[False] + loader.loaded_indices[True], np.int64)
        return order, store, loader


def _add_images(
    loader: ImageLoader,
    archive: Archive,
    members: Sequence[int],
    kept: NDArray[np.int64],
    labeling: Labeling,
    limits: Limits,
) -> None:
    for i, member, content in zip(
        kept.tolist(), members, _read_files(archive, members, limits), strict=True
    ):
        loader.add(i, archive.names[member], content, is_test=bool(labeling.is_test[i]))
        if loader.should_abort:
            break


def _scan_range(archive: Archive, members: Sequence[int], limits: Limits) -> ValueRange:
    """Return the range of all images with more than 8 bits."""
    value_range = ValueRange()
    for content in _read_files(archive, members, limits):
        with suppress(ImageProblem):  # reported when ImageLoader decodes the image
            image = open_image(content, limits)
            if is_deep(image):
                include_range(image, value_range)
    return value_range


def _name_notes(archive: Archive) -> list[str]:
    if archive.name_encoding is None:
        return []
    return [
        f"Names that are not UTF-8 were read as {archive.name_encoding}. If labels look wrong, set "
        "`name_encoding`, for example to cp1252 or shift_jis."
    ]


def _read_files(archive: Archive, indices: Sequence[int], limits: Limits) -> Iterator[bytes]:
    for _, reader in archive.open_members(indices):
        yield read_up_to(reader, limits.archive_entry_bytes + 1)


def _target_size(
    archive: Archive, indices: Sequence[int], options: ImageOptions, limits: Limits
) -> Size | None:
    """Return the size to resize to, chosen from all image headers unless `size` is given.

    Returns None without `resize`.
    """
    if options.resize is None:
        return None
    sizes: Counter[Size] = Counter()
    for content in _read_files(archive, indices, limits) if options.size is None else ():
        try:
            sizes[oriented_size(open_image(content, limits))] += 1
        except ImageProblem:
            continue  # reported when ImageLoader decodes the image
    if options.size is None and not sizes:
        sizes[limits.image_size_max, limits.image_size_max] += 1
    return choose_size(sizes, options, limits)
