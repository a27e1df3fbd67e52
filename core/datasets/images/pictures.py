"""From an archive of picture files to x.npy."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from core.datasets.faults import pointer_to, shown, unreadable
from core.datasets.images.archive import Archive, read_up_to
from core.datasets.images.contents import Contents
from core.datasets.images.folders import Placement, place_by_folder
from core.datasets.images.gathered import Gathered
from core.datasets.images.intake import Intake
from core.datasets.images.labels import Labels, renamed
from core.datasets.images.manifest import place_by_manifest
from core.datasets.images.options import ImageOptions
from core.datasets.images.pixels import PictureProblem, open_picture, upright_size
from core.datasets.images.sizing import Size, target_size
from core.datasets.images.store import ImageStore
from core.settings import Limits


def gather_pictures(
    archive: Archive, contents: Contents, options: ImageOptions, limits: Limits, *, out: Path
) -> Gathered:
    """In the archive's order, the training part first."""
    archive.refuse_bombs()
    names = [archive.names[i] for i in contents.pictures]
    if len(names) > limits.images_max:
        message = f"there are {len(names):,} images; at most {limits.images_max:,} are read"
        raise unreadable("too_many_images", message)
    labels = Labels(limits)
    manifest = _manifest_of(archive, contents, names)
    placement = _place(archive, manifest, names, labels=labels, limits=limits)
    label_names = renamed(labels.in_order(), options.label_names, limits)
    target = _target(archive, contents.pictures, options, limits)
    with ImageStore(out) as store:
        intake = Intake(store, options, limits, expected=len(names), target=target)
        files = _files(archive, contents.pictures, limits)
        for place, content in enumerate(files):
            held_out = bool(placement.held_out[place])
            intake.take(place, names[place], content, held_out=held_out)
            if intake.hopeless:
                break
        intake.finish()
    order = np.array(intake.kept[False] + intake.kept[True], np.int64)
    return Gathered(
        format=f"{archive.format}-{_source_of_labels(archive, manifest)}",
        label_names=label_names,
        y=labels.places()[placement.codes[order]],
        n_train=store.n_train,
        size=store.size,
        channels=store.channels,
        name_of=lambda place: names[order[place]],
        notes=[*contents.notes(archive.names), *labels.notes(), *intake.notes()],
        issues=intake.issues(),
    )


def _files(archive: Archive, places: Sequence[int], limits: Limits) -> Iterator[bytes]:
    for _, reader in archive.streams(places):
        yield read_up_to(reader, limits.archive_entry_bytes + 1)


def _manifest_of(archive: Archive, contents: Contents, names: Sequence[str]) -> int | None:
    """The place of the manifest, which must be the only one and lie above all images."""
    if not contents.manifests:
        return None
    found = [archive.names[i] for i in contents.manifests]
    if len(found) > 1:
        message = f"{shown(found[0])} and {shown(found[1])} both list labels; keep one"
        raise unreadable("one_of", message, pointer=pointer_to(found[1]))
    folder = found[0].rpartition("/")[0]
    if folder and not all(name.startswith(f"{folder}/") for name in names):
        message = f"{shown(found[0])} must lie in the root of the archive and list all its images"
        raise unreadable("label_manifest", message, pointer=pointer_to(found[0]))
    return contents.manifests[0]


def _place(
    archive: Archive, manifest: int | None, names: Sequence[str], *, labels: Labels, limits: Limits
) -> Placement:
    if manifest is None:
        return place_by_folder(names, labels)
    (content,) = _files(archive, [manifest], limits)
    return place_by_manifest(content, archive.names[manifest], images=names, labels=labels)


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
            sizes[upright_size(open_picture(content, limits))] += 1
        except PictureProblem:
            continue  # told when it is to be decoded
    if options.size is None and not sizes:
        sizes[limits.trained_side_max, limits.trained_side_max] += 1
    return target_size(sizes, options, limits)
