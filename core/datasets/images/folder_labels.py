"""What an archive's folders say: the label of each image, and whether it is held out."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import ErrorCollector
from core.datasets.images.labels import UNLABELED, LabelEncoder

TRAIN_NAMES = frozenset({"train", "training"})
TEST_NAMES = frozenset({"test", "testing", "val", "valid", "validation"})


class LabelAssignment(NamedTuple):
    """Of each image: the code of its label (UNLABELED for none), and whether it is in the test split."""

    codes: NDArray[np.int32]
    is_test: NDArray[np.bool_]


class _Folder(NamedTuple):
    label: tuple[str, ...]
    is_test: bool


def assign_by_folder(names: Sequence[str], labels: LabelEncoder) -> LabelAssignment:
    """Raises when some images lie in folders and some do not; all in the root are unlabelled."""
    folders, places = _distinct_folders(names)
    found = _strip_common_prefix(folders)
    codes = [
        labels.encode(_decoded(folder.label), where=path) if folder.label else UNLABELED
        for folder, path in zip(found, folders, strict=True)
    ]
    placement = LabelAssignment(
        np.array(codes, np.int32)[places], np.array([f.is_test for f in found], bool)[places]
    )
    missing = np.flatnonzero(placement.codes == UNLABELED)
    if 0 < len(missing) < len(names):
        faults = ErrorCollector()
        for i in missing:
            faults.add(names[int(i)], "label_missing", "lies in no folder and so has no label")
        raise faults.to_error(
            "images have no label; put them into folders or name them in labels.csv"
        )
    return placement


def test_mask_by_folder(names: Sequence[str]) -> NDArray[np.bool_]:
    folders, places = _distinct_folders(names)
    return np.array([f.is_test for f in _strip_common_prefix(folders)], bool)[places]


def _distinct_folders(names: Sequence[str]) -> tuple[list[str], NDArray[np.int32]]:
    """The folders, and the place among them of each name's."""
    folders: dict[str, int] = {}
    places = np.fromiter(
        (folders.setdefault(name.rpartition("/")[0], len(folders)) for name in names),
        np.int32,
        len(names),
    )
    return list(folders), places


def _strip_common_prefix(folders: Sequence[str]) -> list[_Folder]:
    """What is left of each path without the folders that all have in common and without parts.

    `train` and `test` are parts only when every image lies in such a folder: among others they are
    labels (a train is a vehicle). A last common folder stays, as the only label.
    """
    paths = [tuple(folder.split("/")) if folder else () for folder in folders]
    held_out = [False] * len(paths)
    parted = False
    while all(paths):
        tops = [path[0].lower() for path in paths]
        if (
            not parted
            and not TRAIN_NAMES.isdisjoint(tops)
            and set(tops) <= TRAIN_NAMES | TEST_NAMES
        ):
            held_out = [top in TEST_NAMES for top in tops]
            parted = True
        elif len({path[0] for path in paths}) > 1 or max(map(len, paths)) == 1:
            break
        paths = [path[1:] for path in paths]
    return [_Folder(path, held) for path, held in zip(paths, held_out, strict=True)]


def _decoded(levels: tuple[str, ...]) -> str:
    """Our own archives write a slash in a label as %2F."""
    try:
        return "/".join(unquote(level, errors="strict") for level in levels)
    except UnicodeDecodeError:
        return "/".join(levels)
