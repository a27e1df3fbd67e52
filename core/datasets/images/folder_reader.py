"""From an archive of picture files to x.npy."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.images.archive import Archive, read_up_to
from core.datasets.images.archive_index import ArchiveIndex
from core.datasets.images.decode import ImageProblem, open_image, oriented_size
from core.datasets.images.decoded_dataset import DecodedDataset
from core.datasets.images.folder_labels import LabelAssignment, assign_by_folder
from core.datasets.images.image_loader import ImageLoader
from core.datasets.images.labels import LabelEncoder, rename_labels
from core.datasets.images.labels_file import assign_by_labels_file
from core.datasets.images.npy_store import ImageStore
from core.datasets.images.options import ImageOptions
from core.datasets.images.resize import Size, choose_size
from core.settings import Limits


def read_image_files(
    archive: Archive, contents: ArchiveIndex, options: ImageOptions, limits: Limits, *, out: Path
) -> DecodedDataset:
    """In the archive's order, the training part first."""
    archive.check_bombs()
    names = [archive.names[i] for i in contents.images]
    if len(names) > limits.images_max:
        message = f"there are {len(names):,} images; at most {limits.images_max:,} are read"
        raise unreadable_error("too_many_images", message)
    labels = LabelEncoder(limits)
    manifest = _manifest_of(archive, contents, names)
    placement = _place(archive, manifest, names, labels=labels, limits=limits)
    class_names = rename_labels(labels.sorted_names(), options.class_names, limits)
    target = _target(archive, contents.images, options, limits)
    with ImageStore(out) as store:
        intake = ImageLoader(store, options, limits, expected=len(names), target=target)
        files = _files(archive, contents.images, limits)
        for place, content in enumerate(files):
            held_out = bool(placement.is_test[place])
            intake.add(place, names[place], content, is_test=held_out)
            if intake.should_abort:
                break
        intake.finish()
    order = np.array(intake.loaded_indices[False] + intake.loaded_indices[True], np.int64)
    return DecodedDataset(
        format=f"{archive.format}-{_source_of_labels(archive, manifest)}",
        class_names=class_names,
        y=labels.code_to_index()[placement.codes[order]],
        n_train=store.n_train,
        size=store.size,
        channels=store.channels,
        name_of=lambda place: names[order[place]],
        notes=[*contents.notes(archive.names), *labels.notes(), *intake.notes()],
        issues=intake.issues(),
    )


def _files(archive: Archive, places: Sequence[int], limits: Limits) -> Iterator[bytes]:
    for _, reader in archive.open_members(places):
        yield read_up_to(reader, limits.archive_entry_bytes + 1)


def _manifest_of(archive: Archive, contents: ArchiveIndex, names: Sequence[str]) -> int | None:
    """The place of the manifest, which must be the only one and lie above all images."""
    if not contents.labels_files:
        return None
    found = [archive.names[i] for i in contents.labels_files]
    if len(found) > 1:
        message = f"{printable(found[0])} and {printable(found[1])} both list labels; keep one"
        raise unreadable_error(
            "unsupported_file_combination", message, pointer=file_pointer(found[1])
        )
    folder = found[0].rpartition("/")[0]
    if folder and not all(name.startswith(f"{folder}/") for name in names):
        message = (
            f"{printable(found[0])} must lie in the root of the archive and list all its images"
        )
        raise unreadable_error("labels_file_invalid", message, pointer=file_pointer(found[0]))
    return contents.labels_files[0]


def _place(
    archive: Archive,
    manifest: int | None,
    names: Sequence[str],
    *,
    labels: LabelEncoder,
    limits: Limits,
) -> LabelAssignment:
    if manifest is None:
        return assign_by_folder(names, labels)
    (content,) = _files(archive, [manifest], limits)
    return assign_by_labels_file(content, archive.names[manifest], images=names, labels=labels)


def _source_of_labels(archive: Archive, manifest: int | None) -> str:
    if manifest is None:
        return "folders"
    return archive.names[manifest].rpartition(".")[2].lower()


def _target(
    archive: Archive, places: Sequence[int], options: ImageOptions, limits: Limits
) -> Size | None:
    """The size for `resize`, from all headers where the client did not say; None without it."""
    if options.resize is None:
        return None
    sizes: Counter[Size] = Counter()
    for content in _files(archive, places, limits) if options.size is None else ():
        try:
            sizes[oriented_size(open_image(content, limits))] += 1
        except ImageProblem:
            continue  # told when it is to be decoded
    if options.size is None and not sizes:
        sizes[limits.image_size_max, limits.image_size_max] += 1
    return choose_size(sizes, options, limits)
