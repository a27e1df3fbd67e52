"""The idx files of MNIST and its kin: two zeros, a type, a rank, the sizes, then the values."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.images.archive import Reader, read_up_to
from core.datasets.images.lazy_array import ArraySplit, LazyArray

Opener = Callable[[], AbstractContextManager[Reader]]

_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_HELD_OUT = re.compile(r"t10k|test|val", re.IGNORECASE)


def read_idx(name: str, opener: Opener) -> LazyArray:
    """The header; `opener` gives the file from its first byte, already unpacked."""
    with opener() as file:
        head = read_up_to(file, 4)
        rank = head[3] if len(head) == 4 else 0
        sizes = read_up_to(file, 4 * rank)
    if head[:2] != b"\0\0" or len(head) < 4 or head[2] not in _TYPES or len(sizes) < 4 * rank:
        message = f"{printable(name)} is no idx file, or is cut off"
        raise unreadable_error("idx_invalid", message, pointer=file_pointer(name))
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))

    @contextmanager
    def values() -> Iterator[Reader]:
        with opener() as file:
            read_up_to(file, 4 + 4 * rank)
            yield file

    return LazyArray(name, _TYPES[head[2]], shape, values)


def group_splits(arrays: Sequence[LazyArray]) -> list[ArraySplit]:
    """Images have three or four dimensions, labels one; the names tell the test part apart.

    With one file of images there is one part, whatever its name.
    """
    images = [array for array in arrays if len(array.shape) >= 3]
    several = len(images) > 1
    held_out = [several and held for held in _held_out([array.name for array in arrays])]
    parts = []
    for part in (False, True):
        members = [array for array, held in zip(arrays, held_out, strict=True) if held is part]
        if members:
            parts.append(_part(members, part, labelled=len(images) < len(arrays)))
    return parts


def _part(members: Sequence[LazyArray], held_out: bool, *, labelled: bool) -> ArraySplit:
    images = [array for array in members if len(array.shape) >= 3]
    labels = [array for array in members if len(array.shape) < 3]
    names = ", ".join(printable(array.name) for array in members[:8])
    if len(images) > 1 or len(labels) > 1:
        problem = f"{names} belong to one part; a part is one file of images and one of labels"
        raise members[0].make_error(
            f"is one too many: {problem}, and test parts have t10k or test in their names",
            "idx_invalid",
        )
    if not images:
        raise labels[0].make_error("holds labels without a file of images beside it", "idx_invalid")
    if labelled and not labels:
        raise images[0].make_error("comes without a file of labels", "label_missing")
    return ArraySplit(images[0], labels[0] if labels else None, held_out)


def _held_out(names: Sequence[str]) -> list[bool]:
    """By what the names do not have in common, so that a folder `latest/` says nothing."""
    paths = [PurePosixPath(name).parts for name in names]
    common = 0
    while all(len(path) > common + 1 and path[common] == paths[0][common] for path in paths):
        common += 1
    return [bool(_HELD_OUT.search("/".join(path[common:]))) for path in paths]
