"""Reader of idx files, the format of MNIST and of datasets modeled on it.

A file is two zero bytes, a type code, the rank, the sizes (big-endian uint32), then the values.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from core.datasets.errors import file_pointer, printable, unreadable_error
from modalities.image.upload.archive import Reader, read_up_to
from modalities.image.upload.arrays.lazy_array import ArraySplit, LazyArray

Opener = Callable[[], AbstractContextManager[Reader]]

_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_TEST_NAME = re.compile(r"t10k|test|val", re.IGNORECASE)


def read_idx(name: str, opener: Opener) -> LazyArray:
    """Read the header. `opener` opens the decompressed file at its first byte."""
    with opener() as file:
        head = read_up_to(file, 4)
        rank = head[3] if len(head) == 4 else 0
        sizes = read_up_to(file, 4 * rank)
    if head[:2] != b"\0\0" or len(head) < 4 or head[2] not in _TYPES or len(sizes) < 4 * rank:
        message = f"{printable(name)} is not an idx file, or is truncated."
        raise unreadable_error("idx_invalid", message, pointer=file_pointer(name))
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))

    @contextmanager
    def open_values() -> Iterator[Reader]:
        with opener() as file:
            read_up_to(file, 4 + 4 * rank)
            yield file

    return LazyArray(name, _TYPES[head[2]], shape, open_values)


def group_splits(arrays: Sequence[LazyArray]) -> list[ArraySplit]:
    """Pair image and label files into a training and a test split.

    Images have three or more dimensions, labels fewer. Names with "t10k", "test" or "val" belong
    to the test split; a single image file is always the training split.
    """
    images = [array for array in arrays if len(array.shape) >= 3]
    has_splits = len(images) > 1
    is_test = [has_splits and test for test in _test_mask([array.name for array in arrays])]
    splits = []
    for split in (False, True):
        members = [array for array, test in zip(arrays, is_test, strict=True) if test is split]
        if members:
            splits.append(_to_split(members, split, labeled=len(images) < len(arrays)))
    return splits


def _to_split(members: Sequence[LazyArray], is_test: bool, *, labeled: bool) -> ArraySplit:
    images = [array for array in members if len(array.shape) >= 3]
    labels = [array for array in members if len(array.shape) < 3]
    names = ", ".join(printable(array.name) for array in members[:8])
    if len(images) > 1 or len(labels) > 1:
        raise members[0].make_error(
            f"belongs to a split with too many files ({names}); a split is one file of images and "
            "one of labels, and files of the test split have t10k or test in their names",
            "idx_invalid",
        )
    if not images:
        raise labels[0].make_error("holds labels, but its file of images is missing", "idx_invalid")
    if labeled and not labels:
        raise images[0].make_error(
            "holds images, but its file of labels is missing", "label_missing"
        )
    return ArraySplit(images[0], labels[0] if labels else None, is_test)


def _test_mask(names: Sequence[str]) -> list[bool]:
    """Return True for names of test files; folders shared by all names (`latest/`) are ignored."""
    paths = [PurePosixPath(name).parts for name in names]
    common = 0
    while all(len(path) > common + 1 and path[common] == paths[0][common] for path in paths):
        common += 1
    return [bool(_TEST_NAME.search("/".join(path[common:]))) for path in paths]
