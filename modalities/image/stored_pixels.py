"""Pixels of a dataset, at the stored size or smaller.

A smaller copy is computed once and stored with the dataset. Later jobs and resumed ones use it.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core import process_folder
from core.database import write
from core.datasets import repository as datasets
from core.ids import new_id
from core.storage import Storage, StoredObject, key_of
from core.tables import Dataset
from models.images.reduction import Size, reduce_images

_BLOCK_IMAGES = 1_000


@contextmanager
def open_pixels(dataset: Dataset, storage: Storage, size: Size) -> Iterator[NDArray[np.uint8]]:
    """Open all images, memory-mapped, in `size` (height, width).

    Raises:
        ObjectCorrupted: A stored file is damaged.
    """
    stored = _find(dataset, size) or _store_copy(dataset, storage, size)
    with storage.open(stored) as path:
        yield np.load(path, mmap_mode="r", allow_pickle=False)


def _find(dataset: Dataset, size: Size) -> StoredObject | None:
    is_stored_size = size == (dataset.summary["height"], dataset.summary["width"])
    name = "x" if is_stored_size else _copy_name(size)
    return StoredObject.from_dict(dataset.objects[name]) if name in dataset.objects else None


def _copy_name(size: Size) -> str:
    return f"x-{size[0]}x{size[1]}"


def _store_copy(dataset: Dataset, storage: Storage, size: Size) -> StoredObject:
    name = _copy_name(size)
    key = key_of(dataset.tenant_id, "datasets", dataset.id, f"{name}-{new_id('copy')}.npy")
    with tempfile.TemporaryDirectory(dir=process_folder.get(), prefix="reduce-") as folder:
        path = Path(folder) / "x.npy"
        with storage.open(StoredObject.from_dict(dataset.objects["x"])) as original:
            _write_reduced(np.load(original, mmap_mode="r", allow_pickle=False), size, path)
        stored = storage.put_file(key, path)
    with write() as session:
        attached = datasets.attach_object(session, dataset, name, stored)
        row = session.get(Dataset, dataset.id)
    if attached:
        return stored
    if row is not None and (other := _find(row, size)):
        storage.delete([stored.key])  # another job made the same copy in the meantime
        return other
    return stored


def _write_reduced(pixels: NDArray[np.uint8], size: Size, path: Path) -> None:
    shape = (len(pixels), *size, *pixels.shape[3:])
    reduced = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, len(pixels), _BLOCK_IMAGES):
        reduced[start : start + _BLOCK_IMAGES] = reduce_images(
            pixels[start : start + _BLOCK_IMAGES], size
        )
    reduced.flush()
