"""Purpose of arrays by their names and shapes: images or labels of a part of the dataset.

Arrays are named x and y, or images and labels, optionally with the prefix or suffix train, test or
val ("x_train"). Without such names, as in `arr_0` and `arr_1`, their shapes decide.
"""

import math
import re
from collections.abc import Sequence

from modalities.image.upload.arrays.lazy_array import LazyArray
from modalities.image.upload.labels.split_names import TEST_NAMES, TRAIN_NAMES

_IMAGES = frozenset({"x", "images", "image", "imgs", "img", "data", "features", "pixels", "pics"})
_LABELS = frozenset(
    {"y", "labels", "label", "lbls", "lbl", "targets", "target", "class", "classes", "emotions"}
)
# Words of arrays that describe images or labels.
_OTHER = frozenset({"id", "ids", "name", "names", "path", "paths", "mean", "std", "shape", "index"})
_UNNAMED = re.compile(r"arr_\d+")
_MIN_SIDE = 8  # pixels; a shorter row is not an image
_TRAIN, _TEST = "train", "test"

Members = dict[str, dict[str, LazyArray]]  # split ("train", "test"…), then "images" or "labels"


def assign_arrays(
    arrays: Sequence[LazyArray],
) -> tuple[Members, list[LazyArray], list[str]]:
    """Return the arrays by split and purpose, the others, and notes.

    Raises DatasetUnreadable if two arrays have one purpose.
    """
    members: Members = {}
    others = []
    for array in arrays:
        split, purpose = parse_name(array.name)
        if purpose is None:
            others.append(array)
        elif members.setdefault(split, {}).setdefault(purpose, array) is not array:
            raise array.make_error(
                f"and {members[split][purpose].name} both hold {purpose} of one split; send only "
                "one",
                "unsupported_file_combination",
            )
    if not members:
        members = _assign_by_shape(others)
        assigned = [each for split in members.values() for each in split.values()]
        others = [array for array in others if array not in assigned]
        return members, others, [_describe(members)] if members else []
    return members, others, []


def parse_name(name: str) -> tuple[str, str | None]:
    """Return the split (by default "train") and the purpose, None for neither images nor labels.

    The name of a file is that of its only array: `x_train/arr_0` of `x_train.npz`.
    """
    *folders, last = name.lower().split("/")
    if _UNNAMED.fullmatch(last) and folders:
        last = folders.pop()
    words = _words(last)
    splits = words & (TRAIN_NAMES | TEST_NAMES)
    for folder in reversed(folders):
        splits = splits or _words(folder) & (TRAIN_NAMES | TEST_NAMES)
    split = _TRAIN if not splits or splits & TRAIN_NAMES else min(splits)
    is_image, is_label = bool(words & _IMAGES), bool(words & _LABELS)
    if len(splits) > 1 or is_image == is_label or words & _OTHER:
        return split, None
    return split, "images" if is_image else "labels"


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name))


def square_side(array: LazyArray) -> int:
    """Return the side of the images if each is a row of pixels, 0 otherwise."""
    side = math.isqrt(array.shape[1]) if len(array.shape) == 2 else 0
    return side if side >= _MIN_SIDE and side * side == array.shape[1] else 0


def _assign_by_shape(arrays: Sequence[LazyArray]) -> Members:
    """Pair arrays of images with arrays of as many labels: the training split, then the test split.

    Returns nothing if it is not clear which arrays belong together.
    """
    numeric = [array for array in arrays if array.shape and not array.dtype.hasobject]
    images = [array for array in numeric if len(array.shape) > 2 or square_side(array)]
    labels = [array for array in numeric if len(array.shape) == 1 or array.shape[1:] == (1,)]
    pairs = list(zip(images, labels, strict=False))
    is_paired = all(len(image) == len(label) for image, label in pairs)
    if not is_paired or len(images) != len(labels) or not 1 <= len(images) <= 2:
        return {}
    return {
        split: {"images": image, "labels": label}
        for split, (image, label) in zip((_TRAIN, _TEST), pairs, strict=False)
    }


def _describe(members: Members) -> str:
    parts = ", ".join(
        f"{each['images'].name} and {each['labels'].name} ({split})"
        for split, each in members.items()
    )
    return f"Images and labels were recognized by the shapes of the arrays: {parts}."
