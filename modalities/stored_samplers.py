"""Samplers of stored models, for jobs."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from core.errors import JobError
from core.storage import ObjectCorrupted, Storage, StoredObject
from core.tables import Model

T = TypeVar("T")


def load(model: Model, storage: Storage, read: Callable[[Path], T]) -> T:
    """Load the sampler of a model with `read`, which raises ValueError if the file is not a model.

    Raises:
        JobError: The model's weights are missing or damaged.
    """
    try:
        with storage.open(StoredObject.from_dict(model.weights)) as path:
            return read(path)
    except (ObjectCorrupted, ValueError) as error:
        raise JobError(
            "model_unreadable",
            "The model's weights are missing or damaged. Train or import the model again.",
        ) from error
