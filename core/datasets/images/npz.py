"""Arrays that numpy saved in a zip (.npz). Pickled objects are never loaded.

Names are x and y, or images and labels, alone or with train, test or val before or after them.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tokenize import TokenError

import numpy as np

from core.datasets.errors import printable, unreadable_error
from core.datasets.images.archive import Archive, Reader, read_up_to
from core.datasets.images.folder_labels import TEST_NAMES, TRAIN_NAMES
from core.datasets.images.lazy_array import ArraySplit, LazyArray
from core.settings import Limits

_IMAGES = frozenset({"x", "images", "image", "data"})
_LABELS = frozenset({"y", "labels", "label", "targets", "target"})
_LABEL_NAMES = frozenset({"labels", "label_names", "class_names", "classes"})
_HEADER_BYTES = 16 * 1024

Roles = dict[str, dict[str, LazyArray]]  # part ("train", "test"…) and role ("images", "labels")


def read_npz(archive: Archive, indices: Sequence[int]) -> list[LazyArray]:
    return [_read_header(archive, i) for i in indices]


def group_splits(
    arrays: Sequence[LazyArray], limits: Limits
) -> tuple[list[ArraySplit], list[str] | None, list[str]]:
    """The parts; the label names that the file has, by index; notes."""
    names = _label_names_among(arrays)
    roles: Roles = {}
    ignored = []
    for array in arrays:
        if array is names:
            continue
        part, role = _role_of(array.name)
        if role is None:
            ignored.append(array.name)
        elif roles.setdefault(part, {}).setdefault(role, array) is not array:
            raise array.make_error(
                f"and {roles[part][role].name} both are {role}; send one",
                "unsupported_file_combination",
            )
    parts = [_part(part, found, roles) for part, found in roles.items()]
    if not parts:
        found = ", ".join(printable(array.name) for array in arrays[:10])
        message = f"there are no images among {found}; name them x, or x_train and x_test"
        raise unreadable_error("arrays_invalid", message)
    notes = [f"Ignored arrays: {', '.join(printable(name) for name in ignored[:10])}."]
    class_names = None if names is None else _texts(names, limits)
    return parts, class_names, notes if ignored else []


def _part(part: str, found: dict[str, LazyArray], roles: Roles) -> ArraySplit:
    images, labels = found.get("images"), found.get("labels")
    if images is None:
        raise found["labels"].make_error("holds labels without images beside it")
    if labels is None and any("labels" in others for others in roles.values()):
        raise images.make_error("comes without labels", "label_missing")
    return ArraySplit(images, labels, is_test=part in TEST_NAMES)


def _role_of(name: str) -> tuple[str, str | None]:
    """The part ("train" when none is named) and the role, None for neither images nor labels."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    parts, rest = words & (TRAIN_NAMES | TEST_NAMES), words - TRAIN_NAMES - TEST_NAMES
    part = "train" if not parts or parts & TRAIN_NAMES else min(parts)
    if len(parts) > 1 or len(rest) != 1:
        return part, None
    return part, "images" if rest <= _IMAGES else "labels" if rest <= _LABELS else None


def _label_names_among(arrays: Sequence[LazyArray]) -> LazyArray | None:
    """A list of texts beside integer labels of another name, as in the files that we hand out."""
    numbered = any(
        _role_of(array.name)[1] == "labels" and array.dtype.kind in "iu" for array in arrays
    )
    names = [a for a in arrays if a.name.lower() in _LABEL_NAMES and a.dtype.kind == "U"]
    return names[0] if numbered and names and len(names[0].shape) == 1 else None


def _texts(names: LazyArray, limits: Limits) -> list[str]:
    names.check_limits(limits)
    if len(names) > limits.classes_max:
        raise names.make_error(f"holds more than {limits.classes_max:,} names", "too_many_labels")
    return [str(name) for block in names.blocks() for name in block]


def _read_header(archive: Archive, place: int) -> LazyArray:
    name = archive.names[place].removesuffix(".npy")

    @contextmanager
    def opened() -> Iterator[Reader]:
        for _, reader in archive.open_members([place]):
            yield reader

    with opened() as reader:
        head = io.BytesIO(read_up_to(reader, _HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(head)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran_order, dtype = read(head)
    except (ValueError, TypeError, KeyError, SyntaxError, TokenError, RecursionError) as error:
        message = "has a header that cannot be read; save it with numpy.savez_compressed"
        raise LazyArray(name, np.dtype("u1"), (), opened).make_error(message) from error
    values_start = head.tell()

    @contextmanager
    def values() -> Iterator[Reader]:
        with opened() as reader:
            read_up_to(reader, values_start)
            yield reader

    array = LazyArray(name, dtype, shape, values)
    if dtype.hasobject:
        raise array.make_error("holds Python objects, which are never loaded; save plain numbers")
    if fortran_order and sum(side > 1 for side in shape) > 1:
        raise array.make_error("is in Fortran order; save numpy.ascontiguousarray of it")
    return array
