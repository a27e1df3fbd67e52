"""Single images of a dataset, read as ranges of the stored arrays."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import FieldError, NotFound, ValidationFailed
from core.storage import Storage, StoredObject
from core.tables import Dataset
from modalities.base import ItemsPage, Split
from modalities.image.encode import encode_png
from modalities.selection import suggest_labels
from models.augmentation.transform_ranges import Transform
from models.augmentation.transforms import transform_images
from models.images.contact_sheet import Section, draw_sheet

HEADER_BYTES = 4_096  # more than the header of an .npy file has
PREVIEW_IMAGES = 8

Pixels = NDArray[np.uint8]


def list_items(
    dataset: Dataset,
    storage: Storage,
    *,
    split: Split | None,
    label: str | None,
    offset: int,
    limit: int,
) -> ItemsPage:
    """Return indices and labels of the images of a split and a label.

    Raises:
        ValidationFailed: The dataset has no such label.
    """
    names = [entry["name"] for entry in dataset.summary["labels"]]
    labels = _read_labels(dataset, storage)
    n_train = dataset.summary["n_train"]
    selected = np.ones(len(labels), bool)
    if split is not None:
        selected[n_train:] = split == "test"
        selected[:n_train] = split == "train"
    if label is not None:
        if label not in names:
            hint, near = suggest_labels(label, names)
            message = f"The dataset has no label {label!r}. {hint}"
            error = FieldError("/label", "unknown_label", f"Not a label. {hint}", near)
            raise ValidationFailed(message, field_errors=[error])
        selected &= labels == names.index(label)
    indices = np.flatnonzero(selected)
    items = [
        {
            "index": index,
            "label": names[labels[index]] if labels[index] >= 0 and names else None,
            "split": "train" if index < n_train else "test",
        }
        for index in indices[offset : offset + limit].tolist()
    ]
    return ItemsPage(items, len(indices))


def read_item(dataset: Dataset, storage: Storage, index: int) -> bytes:
    """Return one image as a PNG. Raises NotFound."""
    total = dataset.summary["n_train"] + dataset.summary["n_test"]
    if not 0 <= index < total:
        raise NotFound(f"The dataset has no item {index}; it has {total}.")
    return encode_png(_read_image(dataset, storage, index))


def preview_transforms(
    dataset: Dataset, storage: Storage, transforms: Sequence[Mapping[str, Any]], seed: int
) -> bytes:
    """Return a PNG of PREVIEW_IMAGES training images, and of each a transformed version below."""
    n_train = dataset.summary["n_train"]
    indices = np.linspace(0, n_train - 1, min(PREVIEW_IMAGES, n_train)).round().astype(int)
    real = np.stack([_read_image(dataset, storage, index) for index in indices.tolist()])
    steps = [Transform(**fields) for fields in transforms]
    transformed = [
        next(transform_images(image[None], steps, seed=seed, label=0, indices=np.array([number])))
        for number, image in enumerate(real)
    ]
    sections = [
        Section("original", real),
        Section("transformed", np.stack([image.pixels for image in transformed])),
    ]
    return encode_png(draw_sheet(sections, len(real)))


def _read_labels(dataset: Dataset, storage: Storage) -> NDArray[np.int32]:
    stored = StoredObject.from_dict(dataset.objects["y"])
    return np.asarray(np.load(io.BytesIO(storage.read(stored)), allow_pickle=False), np.int32)


def _read_image(dataset: Dataset, storage: Storage, index: int) -> Pixels:
    stored = StoredObject.from_dict(dataset.objects["x"])
    header = io.BytesIO(storage.read_range(stored, 0, min(stored.bytes, HEADER_BYTES)))
    np.lib.format.read_magic(header)
    shape, _fortran, dtype = np.lib.format.read_array_header_1_0(header)
    size = int(np.prod(shape[1:])) * dtype.itemsize
    start = header.tell() + index * size
    return np.frombuffer(storage.read_range(stored, start, start + size), dtype).reshape(shape[1:])
