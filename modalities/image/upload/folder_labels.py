"""Labels and parts (training, test) from the folders of an archive."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import printable, unreadable_error
from modalities.image.upload.options import PartUse
from modalities.image.upload.split_names import (
    Role,
    are_batches,
    are_subjects,
    is_neutral,
    role_of_name,
    roles_of_level,
    size_of_name,
    words_of,
)
from modalities.image.upload.twin_images import find_twins

_IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs", "photo", "photos", "input", "inputs"})
_MASK_FOLDERS = frozenset(
    {"mask", "masks", "gt", "groundtruth", "annotation", "annotations", "segmentation", "label"}
    | {"segmentations", "trimap", "trimaps", "labels"}
)

Levels = tuple[str, ...]


@dataclass
class Folder:
    """A folder with images. `levels` are reduced to those of its label."""

    path: str
    levels: Levels
    part: str = ""  # the name of its part, such as `seg_train`; "" if there are no parts
    role: Role = "train"
    is_mask: bool = False  # its images are segmentation masks
    use: PartUse | None = None  # the client's choice

    @property
    def label(self) -> str | None:
        """Label, None if there is none."""
        return self.label_at(None)

    def label_at(self, level: int | None) -> str | None:
        """Return the label at one level, from 1, or at the last one of a folder with fewer levels.

        Undoes the percent-encoding of exported archives.
        """
        levels = self.levels if level is None else self.levels[:level][-1:]
        if not levels:
            return None
        try:
            return "/".join(unquote(each, errors="strict") for each in levels)
        except UnicodeDecodeError:
            return "/".join(levels)


@dataclass
class FolderLayout:
    """Folders of an archive, and the index of each image's folder."""

    folders: list[Folder]
    folder_of: NDArray[np.int32]
    is_twin: NDArray[np.bool_]  # images that are masks or copies of another one in their folder
    notes: list[str] = field(default_factory=list)

    def select(self, flags: Sequence[bool]) -> NDArray[np.bool_]:
        """Expand a flag per folder to one per image."""
        return np.array(flags, bool)[self.folder_of]

    @property
    def is_test(self) -> NDArray[np.bool_]:
        return self.select([folder.role == "test" for folder in self.folders])

    @property
    def is_mask(self) -> NDArray[np.bool_]:
        return self.select([folder.is_mask for folder in self.folders]) | self.is_twin

    @property
    def is_left_out(self) -> NDArray[np.bool_]:
        return self.select([folder.use == "leave_out" for folder in self.folders])

    @property
    def is_chosen(self) -> NDArray[np.bool_]:
        """True for images that a client chose to train on, also without labels."""
        return self.select([folder.use == "train" for folder in self.folders])

    @property
    def depth(self) -> int:
        """Number of levels of the labels."""
        return max((len(folder.levels) for folder in self.folders), default=0)

    @property
    def has_labels(self) -> bool:
        return any(folder.levels and folder.role == "train" for folder in self.folders)

    @property
    def has_several_labels(self) -> bool:
        trained = {folder.levels for folder in self.folders if folder.role == "train"}
        return len(trained - {()}) > 1


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
    _collapse_copies(folders)
    _keep_one_size(folders, layout, names)
    for name in chosen:
        _assign_chosen_part(folders, name)
    _assign_parts([f for f in folders if f.part not in chosen and f.use is None])
    _mark_masks(folders)
    for part in dict.fromkeys(folder.part for folder in folders):
        members = [f for f in folders if f.part == part and f.levels and not f.is_mask]
        _strip_common_levels(members)
        _strip_batches(members, layout)
    _drop_labels_of_neutral_folders(folders)
    _drop_labels_of_test_folders(folders)
    return layout


def _assign_chosen_part(folders: Sequence[Folder], name: str) -> None:
    """Make the folders at or below `name` a part, and remove the levels of its name."""
    levels = tuple(level for level in name.split("/") if level)
    matches = 0
    for folder in folders:
        path = folder.levels
        starts = [i for i in range(len(path)) if path[i : i + len(levels)] == levels]
        if levels and starts and not folder.part:
            folder.part, matches = name, matches + 1
            folder.levels = path[: starts[0]] + path[starts[0] + len(levels) :]
    if not matches:
        message = f"`parts` names {printable(name)}, but the upload has no such folder of images."
        raise unreadable_error("part_unknown", message, pointer="/meta/parts")


def _distinct_folders(names: Sequence[str]) -> tuple[list[str], NDArray[np.int32]]:
    """Return the distinct folder paths and, for each name, the index of its folder."""
    folders: dict[str, int] = {}
    indices = np.fromiter(
        (folders.setdefault(name.rpartition("/")[0], len(folders)) for name in names),
        np.int32,
        len(names),
    )
    return list(folders), indices


def _collapse_copies(folders: Sequence[Folder]) -> None:
    """Treat `set/set/cats` as `set/cats` if both exist: archives may hold a copy of themselves."""
    paths = {folder.levels for folder in folders}
    for folder in folders:
        for i in range(1, len(folder.levels)):
            shorter = folder.levels[:i] + folder.levels[i + 1 :]
            if folder.levels[i] == folder.levels[i - 1] and shorter in paths:
                folder.levels = shorter
                break


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


def _assign_parts(folders: Sequence[Folder]) -> None:
    """Set the parts, and remove the levels that name them.

    `train` and `test` are parts only if every image is in such a folder, at the same level.
    Otherwise they are labels (a train is a vehicle). A level may be repeated: `train/train/cats`.
    """
    depth, has_parts = 0, False
    nested = [folder for folder in folders if folder.levels]
    while nested := [folder for folder in nested if len(folder.levels) > depth]:
        roles = roles_of_level({folder.levels[depth] for folder in nested})
        if roles is not None and has_parts:
            is_repeated = all(roles[folder.levels[depth]] == folder.role for folder in nested)
            roles = roles if is_repeated else None
        elif roles is not None and _misses_a_folder(folders, depth):
            roles = None
        if roles is None:
            depth += 1
            continue
        for folder in nested:
            name = folder.levels[depth]
            folder.part, folder.role = folder.part or name, roles[name]
            folder.levels = folder.levels[:depth] + folder.levels[depth + 1 :]
        has_parts = True
    if not has_parts:
        _assign_parts_next_to_others(folders)


def _misses_a_folder(folders: Sequence[Folder], depth: int) -> bool:
    """Return True if a folder, except the root, is not as deep as the level of the parts."""
    return any(0 < len(folder.levels) <= depth for folder in folders)


def _assign_parts_next_to_others(folders: Sequence[Folder]) -> None:
    """Recognize a training part next to a flat folder of test images, such as `DATA` and `TEST`.

    The training part is named so, or is the only top folder with folders of labels. All other top
    folders, such as `meta`, are treated as unlabeled. Without test images, the training part has a
    neutral name: `Dataset` next to `Examples`.
    """
    prefix = _common_prefix([folder.levels for folder in folders if folder.levels])
    tops: dict[str, list[Folder]] = {}
    for folder in folders:
        if len(folder.levels) > prefix:
            tops.setdefault(folder.levels[prefix], []).append(folder)
    roles = {name: role for name in tops if (role := role_of_name(name))}
    deep = [name for name, members in tops.items() if len(members) > 1]
    named = [
        name
        for name, members in tops.items()
        if roles.get(name) == "train" and all(len(f.levels) > prefix + 1 for f in members)
    ]
    train = named or [name for name in deep if len(deep) == 1 and name not in roles]
    if len(train) != 1 or not (
        "test" in roles.values() or _is_next_to_flat(tops, train[0], prefix)
    ):
        return
    for folder in folders:
        top = folder.levels[prefix] if len(folder.levels) > prefix else ""
        folder.part, folder.role = top, "train" if top in train else roles.get(top, "unlabeled")
        folder.levels = folder.levels[prefix + 1 :] if top in train or top in roles else ()
    _assign_parts([folder for folder in tops[train[0]] if folder.levels])


def _is_next_to_flat(tops: Mapping[str, Sequence[Folder]], name: str, prefix: int) -> bool:
    """Return True if all labels are in the folder `name`, and the others hold only images."""
    return (
        len(tops) > 1
        and is_neutral(name)
        and all(len(folder.levels) > prefix + 1 for folder in tops[name])
        and all(len(f.levels) == prefix + 1 for top in tops if top != name for f in tops[top])
    )


def _common_prefix(paths: Sequence[Levels]) -> int:
    length = 0
    while paths and all(len(p) > length + 1 and p[length] == paths[0][length] for p in paths):
        length += 1
    return length


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
    if len(labels - {()}) == 1 and all(is_neutral(level) for path in labels for level in path):
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
