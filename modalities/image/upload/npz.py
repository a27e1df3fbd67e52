"""Reader of numpy arrays in an archive (.npz). Pickled objects are never loaded.

Arrays are named x and y, or images and labels, optionally with the prefix or suffix train, test or
val ("x_train").
"""

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from tokenize import TokenError

import numpy as np

from core.datasets.errors import printable, unreadable_error
from core.limits import Limits
from modalities.image.upload.archive import Archive, Reader, read_up_to
from modalities.image.upload.lazy_array import ArraySplit, LazyArray
from modalities.image.upload.split_names import TEST_NAMES, TRAIN_NAMES

_IMAGES = frozenset({"x", "images", "image", "imgs", "img", "data"})
_LABELS = frozenset({"y", "labels", "label", "lbls", "targets", "target", "class", "classes"})
# Words of arrays that describe images or labels.
_OTHER = frozenset({"id", "ids", "name", "names", "path", "paths", "mean", "std", "shape", "index"})
_LABEL_NAMES = frozenset({"labels", "label_names", "class_names", "classes"})
_HEADER_BYTES = 16 * 1024
MIN_SIDE = 8  # pixels; a shorter row is not an image

Roles = dict[str, dict[str, LazyArray]]  # split ("train", "test"…), then role ("images", "labels")


def read_npz(archive: Archive, indices: Sequence[int]) -> list[LazyArray]:
    return [_read_header(archive, i) for i in indices]


def group_splits(
    arrays: Sequence[LazyArray], limits: Limits
) -> tuple[list[ArraySplit], list[str] | None, list[str]]:
    """Return the splits, the label names by index if the file has them, and notes."""
    label_names = _find_label_names(arrays)
    roles: Roles = {}
    ignored = []
    for array in arrays:
        if array is label_names:
            continue
        split, role = _parse_name(array.name)
        if role is None:
            ignored.append(array.name)
        elif roles.setdefault(split, {}).setdefault(role, array) is not array:
            raise array.make_error(
                f"and {roles[split][role].name} both hold {role} of one split; send only one",
                "unsupported_file_combination",
            )
    splits = [_to_split(split, members, roles) for split, members in roles.items()]
    if not splits and (per_class := _split_per_class(arrays)):
        return per_class
    if not splits:
        names = ", ".join(printable(array.name) for array in arrays[:10])
        message = (
            f"None of the arrays {names} holds images. Name the images x, or x_train and x_test."
        )
        raise unreadable_error("arrays_invalid", message)
    notes = [f"Ignored arrays: {', '.join(printable(name) for name in ignored[:10])}."]
    class_names = None if label_names is None else _read_texts(label_names, limits)
    return splits, class_names, notes if ignored else []


def _split_per_class(
    arrays: Sequence[LazyArray],
) -> tuple[list[ArraySplit], list[str] | None, list[str]] | None:
    """Read one array of images per label, such as cat.npy and dog.npy of drawings.

    Returns None unless all arrays are images of one size.
    """
    images = [_unflatten(array) for array in arrays]
    shapes = {array.shape[1:] for array in images}
    if len(images) < 2 or len(shapes) > 1 or not 2 <= len(next(iter(shapes))) <= 3:
        return None
    splits = [ArraySplit(array, _constant_labels(array), is_test=False) for array in images]
    return splits, None, ["Each array has one label: its name."]


def _constant_labels(images: LazyArray) -> LazyArray:
    name = images.name.rpartition("/")[2].removeprefix("full_numpy_bitmap_")
    labels = np.full(len(images), name)

    @contextmanager
    def open_values() -> Iterator[Reader]:
        yield io.BytesIO(labels.tobytes())

    return LazyArray(images.name, labels.dtype, labels.shape, open_values)


def _to_split(split: str, members: dict[str, LazyArray], roles: Roles) -> ArraySplit:
    images, labels = members.get("images"), members.get("labels")
    if images is None:
        raise members["labels"].make_error("holds labels, but the images of its split are missing")
    if labels is None and any("labels" in arrays for arrays in roles.values()):
        raise images.make_error("holds images, but their labels are missing", "label_missing")
    return ArraySplit(_unflatten(images), labels, is_test=split in TEST_NAMES)


def _unflatten(images: LazyArray) -> LazyArray:
    """Give images of a row of pixels each, as for a classifier, the shape of a square."""
    side = math.isqrt(images.shape[1]) if len(images.shape) == 2 else 0
    is_square = side >= MIN_SIDE and side * side == images.shape[1]
    return replace(images, shape=(len(images), side, side)) if is_square else images


def _parse_name(name: str) -> tuple[str, str | None]:
    """Return the split (by default "train") and the role, None for neither images nor labels."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    splits = words & (TRAIN_NAMES | TEST_NAMES)
    split = "train" if not splits or splits & TRAIN_NAMES else min(splits)
    is_image, is_label = bool(words & _IMAGES), bool(words & _LABELS)
    if len(splits) > 1 or is_image == is_label or words & _OTHER:
        return split, None
    return split, "images" if is_image else "labels"


def _find_label_names(arrays: Sequence[LazyArray]) -> LazyArray | None:
    """Return a one-dimensional text array next to integer labels, as in our own exports."""
    has_integer_labels = any(
        _parse_name(array.name)[1] == "labels" and array.dtype.kind in "iu" for array in arrays
    )
    texts = [a for a in arrays if a.name.lower() in _LABEL_NAMES and a.dtype.kind == "U"]
    return texts[0] if has_integer_labels and texts and len(texts[0].shape) == 1 else None


def _read_texts(texts: LazyArray, limits: Limits) -> list[str]:
    texts.check_limits(limits)
    if len(texts) > limits.classes_max:
        raise texts.make_error(
            f"holds too many label names; the maximum is {limits.classes_max:,}", "too_many_labels"
        )
    return [str(text) for block in texts.blocks() for text in block]


def _read_header(archive: Archive, index: int) -> LazyArray:
    name = archive.names[index].removesuffix(".npy")

    @contextmanager
    def open_file() -> Iterator[Reader]:
        for _, reader in archive.open_members([index]):
            yield reader

    with open_file() as reader:
        head = io.BytesIO(read_up_to(reader, _HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(head)
        read_array_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran_order, dtype = read_array_header(head)
    except (ValueError, TypeError, KeyError, SyntaxError, TokenError, RecursionError) as error:
        problem = "has an unreadable header; save the array with numpy.savez_compressed"
        raise LazyArray(name, np.dtype("u1"), (), open_file).make_error(problem) from error
    values_start = head.tell()

    @contextmanager
    def open_values() -> Iterator[Reader]:
        with open_file() as reader:
            read_up_to(reader, values_start)
            yield reader

    array = LazyArray(name, dtype, shape, open_values)
    if dtype.hasobject:
        raise array.make_error("holds Python objects, which are never loaded; save plain numbers")
    if fortran_order and sum(side > 1 for side in shape) > 1:
        raise array.make_error("is in Fortran order; save numpy.ascontiguousarray(array) instead")
    return array
