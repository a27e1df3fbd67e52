"""Labels and parts (training, test) from the folders of an archive."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import printable
from modalities.image.upload.folder_layout import Folder, FolderLayout, Levels
from modalities.image.upload.folder_parts import assign_chosen_part, assign_parts
from modalities.image.upload.labels.split_names import (
    are_batches,
    are_subjects,
    is_neutral,
    is_repository,
    role_of_name,
    size_of_name,
    words_of,
)
from modalities.image.upload.options import PartUse
from modalities.image.upload.twin_images import find_twins

_IMAGE_FOLDERS = frozenset(
    {"image", "images", "img", "imgs", "photo", "photos", "input", "inputs", "original"}
    | {"originals", "bmp", "jpg", "jpegimages", "rgb"}
)
_MASK_FOLDERS = frozenset(
    {
        "mask",
        "masks",
        "msk",
        "gt",
        "groundtruth",
        "annotation",
        "annotations",
        "segmentation",
        "label",
    }
    | {"segmentations", "trimap", "trimaps", "labels"}
)
_MAX_STRAY = 0.05  # of all images may be outside of the folders of labels


def read_folders(names: Sequence[str], uses: Mapping[str, PartUse] | None = None) -> FolderLayout:
    """Find the parts and the labels of the folders that hold the images `names`.

    `uses` are a client's choices by the name of a detected part, or by folder.

    Raises DatasetUnreadable if there is not such a folder.
    """
    uses = uses or {}
    layout = _detect_layout(names, {})
    parts = {folder.part for folder in layout.folders}
    if others := {name: use for name, use in uses.items() if name not in parts}:
        layout = _detect_layout(names, others)
    for folder in layout.folders:
        if folder.part in uses:
            folder.use = uses[folder.part]
            folder.role = "test" if folder.use == "test" else "train"
        if folder.use == "leave_out":
            folder.role, folder.levels = "unlabeled", ()
    return layout


def _detect_layout(names: Sequence[str], chosen: Mapping[str, PartUse]) -> FolderLayout:
    """Detect the layout of all folders except `chosen`, which are parts of their own."""
    paths, folder_of = _distinct_folders(names)
    folders = [Folder(path, tuple(path.split("/")) if path else ()) for path in paths]
    layout = FolderLayout(folders, folder_of, find_twins(names))
    _collapse_copies(folders, layout, names)
    for name in chosen:
        assign_chosen_part(folders, name)
    _strip_top_levels(folders, folder_of)
    _keep_one_size(folders, layout, names)
    assign_parts([f for f in folders if f.part not in chosen and f.use is None])
    _mark_masks(folders)
    for part in dict.fromkeys(folder.part for folder in folders):
        members = [f for f in folders if f.part == part and f.levels and not f.is_mask]
        _strip_common_levels(members)
        _strip_batches(members, layout)
    _drop_labels_of_neutral_folders(folders)
    _drop_labels_of_test_folders(folders)
    return layout


def _distinct_folders(names: Sequence[str]) -> tuple[list[str], NDArray[np.int32]]:
    """Return the distinct folder paths and, for each name, the index of its folder."""
    folders: dict[str, int] = {}
    indices = np.fromiter(
        (folders.setdefault(name.rpartition("/")[0], len(folders)) for name in names),
        np.int32,
        len(names),
    )
    return list(folders), indices


def _strip_top_levels(folders: Sequence[Folder], folder_of: NDArray[np.int32]) -> None:
    """Remove top levels that nearly all images share, and leave out the few others.

    An archive of a repository often has pictures next to its README, or in another folder.
    """
    counts = np.bincount(folder_of, minlength=len(folders))
    while True:
        tops: dict[Levels, list[int]] = {}
        for i, folder in enumerate(folders):
            if folder.levels and folder.role == "train" and not folder.part:
                tops.setdefault(folder.levels[:1], []).append(i)
        if not tops:
            return
        main = max(tops, key=lambda top: counts[tops[top]].sum())
        members = [folders[i] for i in tops[main]]
        others = [i for top, each in tops.items() if top != main for i in each]
        direct = [i for i in tops[main] if len(folders[i].levels) == 1]
        strays = others + direct
        if len(members) - len(direct) < 2 or role_of_name(main[0]):
            return
        if counts[strays].sum() > _MAX_STRAY * counts.sum():
            return
        if not all(_is_stray(folders[i].levels) for i in others):
            return
        for i in others:
            folders[i].levels, folders[i].role = (), "unlabeled"
        for folder in members:
            folder.levels = folder.levels[1:]


def _is_stray(levels: Levels) -> bool:
    """Return True for a folder without folders, or with a neutral name, that is not a part."""
    return role_of_name(levels[0]) is None and (len(levels) == 1 or any(map(is_neutral, levels)))


def _collapse_copies(folders: Sequence[Folder], layout: FolderLayout, names: Sequence[str]) -> None:
    """Leave out `set/set/cats` if `set/cats` has files of the same names.

    Archives may hold a copy of themselves. With other files, both are one folder.
    """
    index = {folder.levels: i for i, folder in enumerate(folders)}
    copies = {}
    for k, folder in enumerate(folders):
        for i in range(1, len(folder.levels)):
            shorter = folder.levels[:i] + folder.levels[i + 1 :]
            if folder.levels[i] == folder.levels[i - 1] and shorter in index:
                copies[k] = index[shorter]
                folder.levels = shorter
                break
    if not copies:
        return
    files: dict[int, set[str]] = {}
    for folder_index, name in zip(layout.folder_of.tolist(), names, strict=True):
        files.setdefault(folder_index, set()).add(name.rpartition("/")[2])
    left_out = [k for k, i in copies.items() if _are_the_same([files[k], files[i]])]
    for k in left_out:
        folders[k].use = "leave_out"
    if left_out:
        layout.notes.append(
            f"{printable(folders[left_out[0]].path)} is a copy of another folder: left out."
        )


def _keep_one_size(folders: Sequence[Folder], layout: FolderLayout, names: Sequence[str]) -> None:
    """Leave out all but the largest of folders such as `png/64` and `png/128`.

    Their names are usual sizes, and they hold files of the same names.
    """
    for depth in range(max((len(folder.levels) for folder in folders), default=0)):
        level = [folder for folder in folders if len(folder.levels) > depth]
        sizes = {folder.levels[depth]: size_of_name(folder.levels[depth]) for folder in level}
        if len(sizes) < 2 or not all(sizes.values()):
            continue
        files: dict[Levels, dict[str, set[str]]] = {}  # by the other levels and the size
        for i, name in enumerate(names):
            levels = folders[layout.folder_of[i]].levels
            if len(levels) > depth:
                others = levels[:depth] + levels[depth + 1 :]
                by_size = files.setdefault(others, {})
                by_size.setdefault(levels[depth], set()).add(name.rpartition("/")[2])
        if not all(_are_the_same(list(by_size.values())) for by_size in files.values()):
            continue
        largest = max(sizes, key=lambda name: sizes[name] or 0)
        for folder in level:
            is_kept = folder.levels[depth] == largest
            folder.levels = folder.levels[:depth] + folder.levels[depth + 1 :] if is_kept else ()
            folder.use = None if is_kept else "leave_out"
        some = ", ".join(sorted(sizes, key=lambda name: sizes[name] or 0)[:3])
        layout.notes.append(
            f"Folders such as {some} hold the same images in several sizes: only {largest} is used."
        )
        return


def _are_the_same(groups: Sequence[set[str]]) -> bool:
    """Return True if nearly all names are in each group."""
    common = set.intersection(*groups)
    return len(groups) > 1 and len(common) >= 0.9 * max(map(len, groups))


def _mark_masks(folders: Sequence[Folder]) -> None:
    """Mark folders such as `masks` that stand next to `images`."""
    for depth in range(max((len(folder.levels) for folder in folders), default=0)):
        level = [folder for folder in folders if len(folder.levels) > depth]
        words = {folder.levels[depth]: set(words_of(folder.levels[depth])) for folder in level}
        masks = {name for name, each in words.items() if each & _MASK_FOLDERS}
        images = {name for name, each in words.items() if each & _IMAGE_FOLDERS} - masks
        if not masks or not images or masks | images != set(words):
            continue
        for folder in level:
            folder.is_mask = folder.levels[depth] in masks
            rest = folder.levels[:depth] + folder.levels[depth + 1 :]
            folder.levels = () if folder.is_mask else rest
        return


def _strip_common_levels(folders: Sequence[Folder]) -> None:
    """Remove levels that all folders share, at the top and at the bottom; one level remains."""
    paths = [folder.levels for folder in folders]
    while paths and len({path[:1] for path in paths}) == 1 and max(map(len, paths)) > 1:
        paths = [path[1:] for path in paths]
    while (
        paths
        and min(map(len, paths)) > 1
        and (len({path[-1] for path in paths}) == 1 or all(is_neutral(path[-1]) for path in paths))
    ):
        paths = [path[:-1] for path in paths]
    for folder, path in zip(folders, paths, strict=True):
        folder.levels = path


def _strip_batches(folders: Sequence[Folder], layout: FolderLayout) -> None:
    names = {folder.levels[0] for folder in folders if folder.levels}
    if not names or not all(folder.levels for folder in folders):
        return
    if are_batches(names) or (are_subjects(names) and _have_common_labels(folders)):
        for folder in folders:
            folder.levels = folder.levels[1:]
        some = ", ".join(sorted(names)[:3])
        layout.notes.append(f"Folders such as {some} only divide the images; they are not labels.")


def _have_common_labels(folders: Sequence[Folder]) -> bool:
    """Return True if the groups `patient01`, `patient02` have the same labels, at least two."""
    groups: dict[str, set[Levels]] = {}
    for folder in folders:
        groups.setdefault(folder.levels[0], set()).add(folder.levels[1:])
    labels = set().union(*groups.values())
    mean = sum(map(len, groups.values())) / len(groups)
    return () not in labels and len(labels) > 1 and mean >= 0.5 * len(labels)


def _drop_labels_of_neutral_folders(folders: Sequence[Folder]) -> None:
    """Treat a set whose only folder is named `images` as unlabeled."""
    labels = {folder.levels for folder in folders if folder.role == "train" and not folder.is_mask}
    names = [level for path in labels for level in path]
    if len(labels - {()}) == 1 and all(is_neutral(name) or is_repository(name) for name in names):
        for folder in folders:
            folder.levels = ()


def _drop_labels_of_test_folders(folders: Sequence[Folder]) -> None:
    """Treat `test/images` as unlabeled if no training image has the label `images`."""
    trained = {folder.levels for folder in folders if folder.role == "train"}
    for part, count in Counter(folder.part for folder in folders).items():
        members = [folder for folder in folders if folder.part == part and folder.role != "train"]
        if count == 1 and members and members[0].levels not in trained:
            members[0].levels = ()
        for folder in members:
            if folder.role == "unlabeled":
                folder.levels = ()
