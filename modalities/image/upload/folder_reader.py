"""Reader of archives of image files; writes x.npy."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.settings import Limits
from modalities.image.upload.archive import Archive, read_up_to
from modalities.image.upload.archive_index import ArchiveIndex
from modalities.image.upload.decode import ImageProblem, open_image, oriented_size
from modalities.image.upload.decoded_dataset import DecodedDataset
from modalities.image.upload.folder_labels import LabelAssignment, assign_by_folder
from modalities.image.upload.image_loader import ImageLoader
from modalities.image.upload.labels import LabelEncoder, rename_labels
from modalities.image.upload.labels_file import assign_by_labels_file
from modalities.image.upload.npy_store import ImageStore
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.resize import Size, choose_size


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
    labels = LabelEncoder(limits)
    labels_file = _find_labels_file(archive, index, names)
    assignment = _assign_labels(archive, labels_file, names, labels=labels, limits=limits)
    class_names = rename_labels(labels.sorted_names(), options.class_names, limits)
    target = _target_size(archive, index.images, options, limits)
    with ImageStore(out) as store:
        loader = ImageLoader(store, options, limits, expected=len(names), target=target)
        for i, content in enumerate(_read_files(archive, index.images, limits)):
            loader.add(i, names[i], content, is_test=bool(assignment.is_test[i]))
            if loader.should_abort:
                break
        loader.finish()
    order = np.array(loader.loaded_indices[False] + loader.loaded_indices[True], np.int64)
    return DecodedDataset(
        format=f"{archive.format}-{_label_source(archive, labels_file)}",
        class_names=class_names,
        y=labels.code_to_index()[assignment.codes[order]],
        n_train=store.n_train,
        size=store.size,
        channels=store.channels,
        name_of=lambda i: names[order[i]],
        notes=[*index.notes(archive.names), *labels.notes(), *loader.notes()],
        issues=loader.issues(),
    )


def _read_files(archive: Archive, indices: Sequence[int], limits: Limits) -> Iterator[bytes]:
    for _, reader in archive.open_members(indices):
        yield read_up_to(reader, limits.archive_entry_bytes + 1)


def _find_labels_file(
    archive: Archive, index: ArchiveIndex, image_names: Sequence[str]
) -> int | None:
    """Return the index of the labels file in `archive.names`, None if there is none.

    Raises DatasetUnreadable unless it is the only one and in a parent folder of all images.
    """
    if not index.labels_files:
        return None
    names = [archive.names[i] for i in index.labels_files]
    if len(names) > 1:
        message = f"{printable(names[0])} and {printable(names[1])} both list labels. Keep one."
        raise unreadable_error(
            "unsupported_file_combination", message, pointer=file_pointer(names[1])
        )
    folder = names[0].rpartition("/")[0]
    if folder and not all(name.startswith(f"{folder}/") for name in image_names):
        message = (
            f"{printable(names[0])} must be in the root of the archive and list all its images."
        )
        raise unreadable_error("labels_file_invalid", message, pointer=file_pointer(names[0]))
    return index.labels_files[0]


def _assign_labels(
    archive: Archive,
    labels_file: int | None,
    names: Sequence[str],
    *,
    labels: LabelEncoder,
    limits: Limits,
) -> LabelAssignment:
    if labels_file is None:
        return assign_by_folder(names, labels)
    (content,) = _read_files(archive, [labels_file], limits)
    return assign_by_labels_file(content, archive.names[labels_file], images=names, labels=labels)


def _label_source(archive: Archive, labels_file: int | None) -> str:
    """Return "folders", "csv" or "json"."""
    if labels_file is None:
        return "folders"
    return archive.names[labels_file].rpartition(".")[2].lower()


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
