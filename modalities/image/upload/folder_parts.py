"""Search for the folders of the parts of a dataset, such as `train` and `test`."""

from collections.abc import Mapping, Sequence

from core.datasets.errors import printable, unreadable_error
from modalities.image.upload.folder_layout import Folder, Levels
from modalities.image.upload.labels.split_names import (
    is_neutral,
    role_of_name,
    roles_of_level,
    split_label_and_part,
    words_of,
)


def assign_chosen_part(folders: Sequence[Folder], name: str) -> None:
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


def assign_parts(folders: Sequence[Folder]) -> None:
    """Set the parts, and remove the levels that name them.

    `train` and `test` are parts only if every image is in such a folder, at the same level.
    Otherwise they are labels (a train is a vehicle). A level may be repeated: `train/train/cats`.
    """
    if _assign_parts_in_label_names(folders):
        return
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


def _assign_parts_in_label_names(folders: Sequence[Folder]) -> bool:
    """Set the parts of folders such as `cats_train` and `cats_test`; return True if there are any.

    There must be several labels, each with a training folder and at least one with a test folder.
    """
    nested = [folder for folder in folders if folder.levels]
    names = [split_label_and_part(folder.levels[-1]) for folder in nested]
    pairs = [pair for pair in names if pair is not None]
    labels = {role: {label for label, each in pairs if each == role} for role in ("train", "test")}
    if len(pairs) < len(names) or not labels["test"] or not labels["test"] <= labels["train"]:
        return False
    if len(labels["train"]) < 2 or not all(map(words_of, labels["train"])):
        return False
    for folder, (label, role) in zip(nested, pairs, strict=True):
        folder.part, folder.role = role, role
        folder.levels = (*folder.levels[:-1], label)
    return True


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
    assign_parts([folder for folder in tops[train[0]] if folder.levels])


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
