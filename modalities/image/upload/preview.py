"""Drawing of preview.png: the name of each label, followed by a row of its training images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modalities.image.upload.arrays.npy_store import StoredImages
from modalities.image.upload.labels.labels import UNLABELED
from models.images.contact_sheet import Section, draw_sheet

MAX_ROWS = 20
COLUMNS = 10
MAX_SIDE = 128  # pixels; larger images are reduced


def draw_preview(
    images: StoredImages, y: NDArray[np.int32], class_names: Sequence[str], *, path: Path
) -> None:
    """Draw the preview. `y` holds the labels of the training images only.

    Unlabeled images fill the last rows, which have no name.
    """
    sections = [
        Section(name, np.stack(list(images.iter_images(indices))))
        for name, indices in _select_images(y, class_names)
    ]
    Image.fromarray(draw_sheet(sections, COLUMNS, max_side=MAX_SIDE)).save(path)


def _select_images(
    y: NDArray[np.int32], class_names: Sequence[str]
) -> list[tuple[str, NDArray[np.int64]]]:
    """Return the first labels that have images, and evenly spaced indices of their images."""
    selected: list[tuple[str, NDArray[np.int64]]] = []
    for code, name in enumerate(class_names):
        if len(selected) < MAX_ROWS and len(members := np.flatnonzero(y == code)):
            selected.append((name, _evenly_spaced(members, COLUMNS)))
    max_unlabeled = COLUMNS * min(COLUMNS, MAX_ROWS - len(selected))
    unlabeled = _evenly_spaced(np.flatnonzero(y == UNLABELED), max_unlabeled)
    return [*selected, ("", unlabeled)] if len(unlabeled) else selected


def _evenly_spaced(indices: NDArray[np.int64], max_items: int) -> NDArray[np.int64]:
    if len(indices) <= max_items:
        return indices
    if not max_items:
        return indices[:0]
    return indices[np.linspace(0, len(indices) - 1, max_items).astype(np.int64)]
