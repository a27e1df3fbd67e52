"""Labels and train/test splits from the folders of an archive."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import ErrorCollector
from modalities.image.upload.labels import UNLABELED, LabelEncoder

TRAIN_NAMES = frozenset({"train", "training"})
TEST_NAMES = frozenset({"test", "testing", "val", "valid", "validation"})


class LabelAssignment(NamedTuple):
    """Label and split of each image."""

    codes: NDArray[np.int32]  # of LabelEncoder, UNLABELED for none
    is_test: NDArray[np.bool_]  # True in the test split


class _Folder(NamedTuple):
    label: tuple[str, ...]
    is_test: bool


def assign_by_folder(names: Sequence[str], labels: LabelEncoder) -> LabelAssignment:
    """Use each image's folder as its label.

    If all images are in the root, all are unlabeled. Raises DatasetUnreadable if only some are.
    """
    paths, folder_indices = _distinct_folders(names)
    folders = _strip_common_prefix(paths)
    codes = [
        labels.encode(_decode_label(folder.label), where=path) if folder.label else UNLABELED
        for folder, path in zip(folders, paths, strict=True)
    ]
    assignment = LabelAssignment(
        np.array(codes, np.int32)[folder_indices],
        np.array([folder.is_test for folder in folders], bool)[folder_indices],
    )
    unlabeled = np.flatnonzero(assignment.codes == UNLABELED)
    if 0 < len(unlabeled) < len(names):
        errors = ErrorCollector()
        for i in unlabeled:
            errors.add(names[int(i)], "label_missing", "is not in a folder and has no label")
        raise errors.to_error(
            "images have no label; put them into folders or list them in labels.csv"
        )
    return assignment


def test_mask_by_folder(names: Sequence[str]) -> NDArray[np.bool_]:
    paths, folder_indices = _distinct_folders(names)
    is_test = [folder.is_test for folder in _strip_common_prefix(paths)]
    return np.array(is_test, bool)[folder_indices]


def _distinct_folders(names: Sequence[str]) -> tuple[list[str], NDArray[np.int32]]:
    """Return the distinct folder paths and, for each name, the index of its folder."""
    folders: dict[str, int] = {}
    indices = np.fromiter(
        (folders.setdefault(name.rpartition("/")[0], len(folders)) for name in names),
        np.int32,
        len(names),
    )
    return list(folders), indices


def _strip_common_prefix(paths: Sequence[str]) -> list[_Folder]:
    """Remove common top folders and split folders from the paths; the rest is the label.

    `train` and `test` are splits only if every image is in such a folder. Otherwise they are
    labels (a train is a vehicle). If the last level is common to all, it stays as the only label.
    """
    remaining = [tuple(path.split("/")) if path else () for path in paths]
    is_test = [False] * len(remaining)
    has_splits = False
    while all(remaining):
        tops = [levels[0].lower() for levels in remaining]
        if (
            not has_splits
            and not TRAIN_NAMES.isdisjoint(tops)
            and set(tops) <= TRAIN_NAMES | TEST_NAMES
        ):
            is_test = [top in TEST_NAMES for top in tops]
            has_splits = True
        elif len({levels[0] for levels in remaining}) > 1 or max(map(len, remaining)) == 1:
            break
        remaining = [levels[1:] for levels in remaining]
    return [_Folder(label, test) for label, test in zip(remaining, is_test, strict=True)]


def _decode_label(levels: tuple[str, ...]) -> str:
    """Undo the percent-encoding of exported archives, which write a slash in a label as %2F."""
    try:
        return "/".join(unquote(level, errors="strict") for level in levels)
    except UnicodeDecodeError:
        return "/".join(levels)
