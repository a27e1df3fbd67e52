"""Inputs and outputs that image and table augmentation share."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

import modalities
from core.augmentation import AugmentationSpec
from core.errors import JobError
from core.storage import ObjectCorrupted, Storage, StoredObject
from core.tables import Dataset, Model
from models import split
from models.augmentation.lift import Indices, TrainClassifier
from models.augmentation.training_sets import LabelCounts, TrainingPool
from models.checkpoint import UnreadableCheckpoint
from models.load import AnySampler, load_sampler

CheckStop = Callable[[], None]


@dataclass(frozen=True)
class LiftExperiment:
    """Inputs of the lift measurement. `true_labels` are those of the held-out items, (M,)."""

    pool: TrainingPool
    train_classifier: TrainClassifier
    true_labels: NDArray[np.int64]


class DatasetAugmenter(Protocol):
    def write(self, out: Path) -> dict[str, Any]:
        """Write the files of the new dataset into the folder `out` and return its summary."""

    def lift_experiment(self) -> LiftExperiment: ...


@dataclass(frozen=True)
class AugmentationContext:
    """Inputs of an augmentation job: dataset, model, split and storage."""

    dataset: Dataset
    model: Model | None
    spec: AugmentationSpec
    storage: Storage
    check_stop: CheckStop
    labels: NDArray[np.int32]  # of all items of the training split; negative if unlabeled
    train: Indices
    holdout: Indices

    @classmethod
    def create(
        cls,
        dataset: Dataset,
        model: Model | None,
        spec: AugmentationSpec,
        storage: Storage,
        check_stop: CheckStop,
    ) -> "AugmentationContext":
        """Split the dataset as the plan did.

        Raises:
            JobError: The dataset does not have the label counts of the plan.
        """
        labels = modalities.get(dataset.modality).read_labels(dataset, storage)
        train, holdout = split.holdout_split(
            spec.modality, labels, spec.holdout_fraction, spec.holdout_seed
        )
        train, holdout = train[labels[train] >= 0], holdout[labels[holdout] >= 0]
        real_counts = np.bincount(labels[train], minlength=len(spec.labels)).tolist()
        if real_counts != [label.real for label in spec.labels]:
            raise JobError(
                "dataset_unreadable",
                "The dataset was changed after the job was created; create the job again.",
            )
        return cls(dataset, model, spec, storage, check_stop, labels, train, holdout)

    def source_indices(self, label: int) -> Indices:
        """Return the indices of the real training items of a label, the inputs of transforms."""
        indices: Indices = self.train[self.labels[self.train] == label]
        return indices

    def load_sampler(self) -> AnySampler | None:
        if self.model is None:
            return None
        try:
            with self.storage.open(StoredObject.from_dict(self.model.weights)) as path:
                return load_sampler(path)
        except (ObjectCorrupted, UnreadableCheckpoint) as error:
            raise JobError(
                "model_unreadable",
                "The model's weights are missing or damaged. Train or import the model again.",
            ) from error

    def model_label_codes(self) -> dict[str, Any]:
        """Return the model's code of each label name: an index for images, a value for tables."""
        assert self.model is not None  # noqa: S101 - only called for plans with a model
        labels = self.model.manifest["labels"]
        if self.spec.modality == "image":
            return {label["name"]: index for index, label in enumerate(labels)}
        return {label["name"]: label["value"] for label in labels}

    def pool(self, min_real_items: int) -> TrainingPool:
        """Create the pool of items that the lift experiment trains classifiers on.

        It includes all real items: the model was trained on all of them, so comparing it with
        fewer real items would overrate it.
        """
        model_labels = self.model_label_codes() if self.model is not None else {}
        counts = [
            LabelCounts(
                label.transforms,
                label.model,
                label.real >= min_real_items,
                label.name in model_labels,
            )
            for label in self.spec.labels
        ]
        return TrainingPool.build(self.labels[self.train].astype(np.int64), counts)


class ProvenanceWriter:
    """Writer of provenance.ndjson: one JSON line per item, in dataset order."""

    def __init__(self, file: TextIO, spec: AugmentationSpec) -> None:
        self._file, self._spec, self._item = file, spec, 0

    def real(self, label: int, index: int) -> None:
        self._line(label, "real", real=index)

    def transforms(self, label: int, index: int, **details: Any) -> None:
        self._line(label, "transforms", index=index, **details)

    def model(self, label: int, index: int) -> None:
        self._line(label, "model", model=self._spec.model, seed=self._spec.seed, index=index)

    def _line(self, label: int, source: str, **provenance: Any) -> None:
        item = {"item": self._item, "label": self._spec.labels[label].name, "source": source}
        self._file.write(json.dumps(item | {"provenance": provenance}, ensure_ascii=False) + "\n")
        self._item += 1


def index_chunks(count: int, chunk_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the integers from 0 to `count` (exclusive) in chunks."""
    for first in range(0, count, chunk_size):
        yield np.arange(first, min(first + chunk_size, count), dtype=np.int64)
