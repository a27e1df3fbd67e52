"""Reader of archives of image files; writes x.npy."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from core.datasets.errors import unreadable_error
from core.limits import Limits
from modalities.image.upload.archive import Archive, read_up_to
from modalities.image.upload.archive_index import ArchiveIndex, describe_ignored
from modalities.image.upload.decoded_dataset import DecodedDataset
from modalities.image.upload.image_files import load_images
from modalities.image.upload.labels.class_name_files import find_class_names
from modalities.image.upload.labels.label_sources import label_images
from modalities.image.upload.labels.labels import rename_labels
from modalities.image.upload.options import ImageOptions


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
    given_names = options.class_names
    named = None
    if given_names is None:
        others = [i for i in index.ignored if i not in labeling.used_files]
        named = find_class_names(archive, others, labels.sorted_names(), limits)
    if named is not None:
        given_names = named[0]
    class_names = rename_labels(labels.sorted_names(), given_names, limits)
    used = np.flatnonzero(labeling.is_used)
    members = [index.images[i] for i in used]
    loaded, store, loader = load_images(
        lambda: _read_files(archive, members, limits),
        [names[i] for i in used],
        labeling.is_test[used],
        options,
        limits,
        out=out,
    )
    order = used[loaded]
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
            *([named[1]] if named else []),
            *_name_notes(archive),
            *describe_ignored(kinds),
            *labels.notes(),
            *loader.notes(),
        ],
        issues=[*loader.issues(), *labeling.issues],
        layout={
            "labels_from": labeling.source,
            "parts": [part._asdict() for part in labeling.parts],
            "label_sources": [choice._asdict() for choice in labeling.choices],
            "ignored": [kind._asdict() for kind in kinds],
        },
    )


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
