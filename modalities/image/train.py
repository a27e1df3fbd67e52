"""Training of image models."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from core import model_registry
from core.database import read
from core.errors import JobError
from core.storage import ObjectCorrupted, Storage, StoredObject
from core.tables import Dataset, Json, Model
from modalities.image.stored_pixels import open_pixels
from modalities.image.training_options import ImageTrainingSpec
from modalities.training import TrainingRun
from models.images.architectures import settings_from_dict
from models.images.data import LabeledImages
from models.images.reduction import Size
from models.images.training import InitFrom
from models.images.training import train as train_images


def train(run: TrainingRun) -> None:
    """Train a model and save its last checkpoint.

    Raises:
        JobError: The dataset or the base model of `init_from` cannot be read.
    """
    spec: ImageTrainingSpec = run.spec
    _check_unchanged(run.dataset.summary, spec)
    size = spec.hyperparameters["height"], spec.hyperparameters["width"]
    with open_images(run.dataset, spec, run.storage, size=size) as images:
        labels = [
            {"name": label["name"], "count": label["count"]}
            for label in run.dataset.summary["labels"]
        ]
        labels = labels if spec.conditional else []
        run.start(
            {
                "labels": labels,
                "image": {
                    name: spec.hyperparameters[name] for name in ("height", "width", "channels")
                },
            }
        )
        with _open_init_checkpoint(run) as init_from:
            train_images(
                images,
                settings_from_dict(spec.hyperparameters),
                run,
                seed=spec.seed,
                label_names=[label["name"] for label in labels],
                state=run.state,
                init_from=init_from,
                patience=spec.patience,
                device=torch.device(run.device),
                records_steps=run.records_steps,
            )


def _check_unchanged(summary: Json, spec: ImageTrainingSpec) -> None:
    """Raise JobError if the dataset was read again with other options after the job was planned."""
    hyperparameters = spec.hyperparameters
    classes = len(summary["labels"]) if spec.conditional else 1
    fits = (
        hyperparameters["height"] <= summary["height"]
        and hyperparameters["width"] <= summary["width"]
        and hyperparameters["channels"] == summary["channels"]
        and hyperparameters["classes"] == classes
    )
    if not fits:
        message = "The dataset was changed after this job was created. Create a new job."
        raise JobError("dataset_unreadable", message)


@contextmanager
def open_images(
    dataset: Dataset,
    spec: ImageTrainingSpec,
    storage: Storage,
    *,
    size: Size,
    include_test_split: bool = False,
) -> Iterator[LabeledImages]:
    """Open the training split, memory-mapped; `include_test_split` appends the test split.

    The images are reduced to `size` (height, width).

    Raises:
        JobError: The dataset is damaged.
    """
    n = None if include_test_split else dataset.summary["n_train"]
    try:
        with (
            open_pixels(dataset, storage, size) as pixels,
            storage.open(StoredObject.from_dict(dataset.objects["y"])) as y,
        ):
            labels = np.load(y, allow_pickle=False)[:n]
            if not spec.conditional:
                labels = np.zeros_like(labels)
            yield LabeledImages.split(
                pixels[:n], labels, holdout_fraction=spec.holdout_fraction, seed=spec.seed
            )
    except ObjectCorrupted as error:
        raise JobError("dataset_unreadable", f"{error} Upload the dataset again.") from error


@contextmanager
def _open_init_checkpoint(run: TrainingRun) -> Iterator[InitFrom | None]:
    """Open the checkpoint of the model to initialize from; yield None if the run resumes."""
    spec: ImageTrainingSpec = run.spec
    init_from = spec.init_from
    if init_from is None or run.state is not None:
        yield None
        return
    with read() as session:
        model = session.get(Model, init_from.model)
        state = model_registry.training_state_of(session, model) if model is not None else None
    if state is None:
        raise JobError("dataset_unreadable", "The base model of `init_from` was deleted.")
    try:
        with run.storage.open(state) as path:
            yield InitFrom(path, init_from.label_map)
    except ObjectCorrupted as error:
        raise JobError(
            "dataset_unreadable", f"The base model of `init_from` cannot be read. {error}"
        ) from error
