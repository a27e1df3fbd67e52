"""What both kinds of data have in common when more items are made of them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from core.augmentation import AugmentationSpec
from core.datasets.item_labels import read_labels
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
    """`truth`: the labels of the held-out items."""

    pool: TrainingPool
    learn: TrainClassifier
    truth: NDArray[np.int64]


class DatasetAugmenter(Protocol):
    def write(self, out: Path) -> dict[str, Any]:
        """The objects of a dataset, into the folder `out`; returns its summary."""

    def lift_experiment(self) -> LiftExperiment: ...


@dataclass(frozen=True)
class AugmentationContext:
    """What there is to make items of."""

    dataset: Dataset
    model: Model | None
    spec: AugmentationSpec
    storage: Storage
    check_stop: CheckStop
    labels: NDArray[np.int32]  # of all items to train on
    train: Indices
    holdout: Indices

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        model: Model | None,
        spec: AugmentationSpec,
        storage: Storage,
        check_stop: CheckStop,
    ) -> "AugmentationContext":
        """Raises JobError when the dataset is not as it was planned with."""
        labels = read_labels(dataset, storage)
        train, apart = split.holdout_split(
            spec.modality, labels, spec.holdout_fraction, spec.holdout_seed
        )
        train, apart = train[labels[train] >= 0], apart[labels[apart] >= 0]
        have = np.bincount(labels[train], minlength=len(spec.labels)).tolist()
        if have != [label.real for label in spec.labels]:
            raise JobError("dataset_unreadable", "the dataset was changed since the job was made")
        return cls(dataset, model, spec, storage, check_stop, labels, train, apart)

    def source_indices(self, label: int) -> Indices:
        """Of the real items that a label's made ones may be made of."""
        mine: Indices = self.train[self.labels[self.train] == label]
        return mine

    def load_sampler(self) -> AnySampler | None:
        if self.model is None:
            return None
        try:
            with self.storage.open(StoredObject.from_dict(self.model.weights)) as path:
                return load_sampler(path)
        except (ObjectCorrupted, UnreadableCheckpoint) as error:
            raise JobError("model_unreadable", "the model's weights cannot be read") from error

    def model_label_codes(self) -> dict[str, Any]:
        """What the model calls each label: its place for images, its value for rows."""
        assert self.model is not None  # noqa: S101 - or nothing is drawn
        labels = self.model.manifest["labels"]
        if self.spec.modality == "image":
            return {label["name"]: place for place, label in enumerate(labels)}
        return {label["name"]: label["value"] for label in labels}

    def pool(self, min_real_items: int) -> TrainingPool:
        """What takes part in a trial. All real items do: the model has learned from all of them,
        and would seem the better the fewer it is compared with."""
        known = self.model_label_codes() if self.model is not None else {}
        made = [
            LabelCounts(
                label.transforms, label.model, label.real >= min_real_items, label.name in known
            )
            for label in self.spec.labels
        ]
        return TrainingPool.build(self.labels[self.train].astype(np.int64), made)


class ProvenanceWriter:
    """A line of JSON for each item, in the order of the items."""

    def __init__(self, file: TextIO, spec: AugmentationSpec) -> None:
        self._file, self._spec, self._item = file, spec, 0

    def real(self, label: int, index: int) -> None:
        self._line(label, "real", real=index)

    def transforms(self, label: int, index: int, **about: Any) -> None:
        self._line(label, "transforms", index=index, **about)

    def model(self, label: int, index: int) -> None:
        self._line(label, "model", model=self._spec.model, seed=self._spec.seed, index=index)

    def _line(self, label: int, source: str, **recipe: Any) -> None:
        about = {"item": self._item, "label": self._spec.labels[label].name, "source": source}
        self._file.write(json.dumps(about | {"provenance": recipe}, ensure_ascii=False) + "\n")
        self._item += 1


def index_chunks(count: int, chunk_size: int) -> Iterator[NDArray[np.int64]]:
    """0 to `count`, some at a time."""
    for first in range(0, count, chunk_size):
        yield np.arange(first, min(first + chunk_size, count), dtype=np.int64)
