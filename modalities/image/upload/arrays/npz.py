"""Reader of numpy arrays in an archive (.npz). Pickled objects are never loaded.

`array_names` finds out which arrays are images and which are labels.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from tokenize import TokenError

import numpy as np

from core.datasets.errors import printable, unreadable_error
from core.limits import Limits
from modalities.image.upload.archive import Archive, Reader, read_up_to
from modalities.image.upload.arrays.array_names import (
    Members,
    assign_arrays,
    parse_name,
    square_side,
)
from modalities.image.upload.arrays.lazy_array import ArraySplit, LazyArray
from modalities.image.upload.labels.split_names import TEST_NAMES

_LABEL_NAMES = frozenset({"labels", "label_names", "class_names", "classes"})
_HEADER_BYTES = 16 * 1024


def read_npz(archive: Archive, indices: Sequence[int]) -> list[LazyArray]:
    return [_read_header(archive, i) for i in indices]


def group_splits(
    arrays: Sequence[LazyArray], limits: Limits
) -> tuple[list[ArraySplit], list[str] | None, list[str]]:
    """Return the splits, the label names by index if the file has them, and notes."""
    label_names = _find_label_names(arrays)
    others = [array for array in arrays if array is not label_names]
    members, ignored, notes = assign_arrays(others)
    splits = [_to_split(split, members) for split in members]
    if not splits and (per_class := _split_per_class(arrays)):
        return per_class
    if not splits:
        names = ", ".join(printable(array.name) for array in arrays[:10])
        message = (
            f"None of the arrays {names} holds images. Name the images x, or x_train and x_test."
        )
        raise unreadable_error("arrays_invalid", message)
    if ignored:
        names = ", ".join(printable(array.name) for array in ignored[:10])
        notes.append(f"Ignored arrays: {names}.")
    class_names = None if label_names is None else _read_texts(label_names, limits)
    return splits, class_names, notes


def _to_split(split: str, members: Members) -> ArraySplit:
    images, labels = members[split].get("images"), members[split].get("labels")
    if images is None:
        raise members[split]["labels"].make_error(
            "holds labels, but the images of its split are missing"
        )
    if labels is None and any("labels" in arrays for arrays in members.values()):
        raise images.make_error("holds images, but their labels are missing", "label_missing")
    return ArraySplit(_unflatten(images), labels, is_test=split in TEST_NAMES)


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


def _unflatten(images: LazyArray) -> LazyArray:
    """Give images of a row of pixels each, as for a classifier, the shape of a square."""
    side = square_side(images)
    return replace(images, shape=(len(images), side, side)) if side else images


def _find_label_names(arrays: Sequence[LazyArray]) -> LazyArray | None:
    """Return a one-dimensional text array next to integer labels, as in our own exports."""
    has_integer_labels = any(
        parse_name(array.name)[1] == "labels" and array.dtype.kind in "iu" for array in arrays
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
