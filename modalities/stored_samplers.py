"""Samplers of stored models, for jobs."""

from typing import Any

from core.errors import JobError
from core.storage import ObjectCorrupted, Storage, StoredObject
from core.tables import Model
from models.checkpoint import UnreadableCheckpoint
from models.load import load_sampler


def load(model: Model, storage: Storage) -> Any:
    """Load the sampler of a model, which is of the class that its modality uses.

    Raises:
        JobError: The model's weights are missing or damaged.
    """
    try:
        with storage.open(StoredObject.from_dict(model.weights)) as path:
            return load_sampler(path)
    except (ObjectCorrupted, UnreadableCheckpoint) as error:
        raise JobError(
            "model_unreadable",
            "The model's weights are missing or damaged. Train or import the model again.",
        ) from error
