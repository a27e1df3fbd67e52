"""Images as training data."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from core.errors import JobError
from core.storage import ObjectCorrupted, Storage, StoredObject
from core.tables import Dataset
from core.training import TrainingSpec
from models.images.data import LabeledImages


@contextmanager
def open_images(
    dataset: Dataset, spec: TrainingSpec, storage: Storage, *, include_test_split: bool = False
) -> Iterator[LabeledImages]:
    """Open the training split, memory-mapped; `include_test_split` appends the test split.

    Raises:
        JobError: The dataset is damaged.
    """
    objects = {name: StoredObject.from_dict(dataset.objects[name]) for name in ("x", "y")}
    n = None if include_test_split else dataset.summary["n_train"]
    try:
        with storage.open(objects["x"]) as x, storage.open(objects["y"]) as y:
            pixels = np.load(x, mmap_mode="r", allow_pickle=False)[:n]
            labels = np.load(y, allow_pickle=False)[:n]
            if not spec.conditional:
                labels = np.zeros_like(labels)
            yield LabeledImages.split(
                pixels, labels, holdout_fraction=spec.holdout_fraction, seed=spec.seed
            )
    except ObjectCorrupted as error:
        raise JobError("dataset_unreadable", f"{error} Upload the dataset again.") from error
