"""What both kinds of data have in common when more items are made of them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from core.augmentation import AugmentationSpec
from core.datasets.labelled import labels_of
from core.errors import JobError
from core.storage import DamagedObject, Storage, Stored
from core.tables import Dataset, Model
from models import split
from models.augmentation.lift import Learn, Places
from models.augmentation.sets import Made, Pool
from models.checkpoint import UnreadableCheckpoint
from models.generator import Generator, load

GoOn = Callable[[], None]


@dataclass(frozen=True)
class Trial:
    """`truth`: the labels of the held-out items."""

    pool: Pool
    learn: Learn
    truth: NDArray[np.int64]


class Material(Protocol):
    def write(self, out: Path) -> dict[str, Any]:
        """The objects of a dataset, into the folder `out`; returns its summary."""

    def trial(self) -> Trial: ...


@dataclass(frozen=True)
class Ground:
    """What there is to make items of."""

    dataset: Dataset
    model: Model | None
    spec: AugmentationSpec
    storage: Storage
    go_on: GoOn
    labels: NDArray[np.int32]  # of all items to train on
    train: Places
    apart: Places

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        model: Model | None,
        spec: AugmentationSpec,
        storage: Storage,
        go_on: GoOn,
    ) -> "Ground":
        """Raises JobError when the dataset is not as it was planned with."""
        labels = labels_of(dataset, storage)
        train, apart = split.apart(spec.kind, labels, spec.holdout, spec.holdout_seed)
        train, apart = train[labels[train] >= 0], apart[labels[apart] >= 0]
        have = np.bincount(labels[train], minlength=len(spec.labels)).tolist()
        if have != [label.have for label in spec.labels]:
            raise JobError("dataset_unreadable", "the dataset was changed since the job was made")
        return cls(dataset, model, spec, storage, go_on, labels, train, apart)

    def places(self, label: int) -> Places:
        """Of the real items that a label's made ones may be made of."""
        mine: Places = self.train[self.labels[self.train] == label]
        return mine

    def generator(self) -> Generator | None:
        if self.model is None:
            return None
        try:
            with self.storage.open(Stored.from_dict(self.model.weights)) as path:
                return load(path)
        except (DamagedObject, UnreadableCheckpoint) as error:
            raise JobError("model_unreadable", "the model's weights cannot be read") from error

    def learned(self) -> dict[str, Any]:
        """What the model calls each label: its place for images, its value for rows."""
        assert self.model is not None  # noqa: S101 - or nothing is drawn
        labels = self.model.manifest["labels"]
        if self.spec.kind == "images":
            return {label["name"]: place for place, label in enumerate(labels)}
        return {label["name"]: label["value"] for label in labels}

    def pool(self, least_classical: int) -> Pool:
        """What takes part in a trial. All real items do: the model has learned from all of them,
        and would seem the better the fewer it is compared with."""
        known = self.learned() if self.model is not None else {}
        made = [
            Made(label.classical, label.gan, label.have >= least_classical, label.name in known)
            for label in self.spec.labels
        ]
        return Pool.of(self.labels[self.train].astype(np.int64), made)


class Recipes:
    """A line of JSON for each item, in the order of the items."""

    def __init__(self, file: TextIO, spec: AugmentationSpec) -> None:
        self._file, self._spec, self._item = file, spec, 0

    def real(self, label: int, place: int) -> None:
        self._line(label, "real", real=place)

    def classical(self, label: int, number: int, **about: Any) -> None:
        self._line(label, "classical", number=number, **about)

    def gan(self, label: int, number: int) -> None:
        self._line(label, "gan", model=self._spec.model, seed=self._spec.seed, number=number)

    def _line(self, label: int, source: str, **recipe: Any) -> None:
        about = {"item": self._item, "label": self._spec.labels[label].name, "source": source}
        self._file.write(json.dumps(about | {"recipe": recipe}, ensure_ascii=False) + "\n")
        self._item += 1


def numbers(count: int, at_once: int) -> Iterator[NDArray[np.int64]]:
    """0 to `count`, some at a time."""
    for first in range(0, count, at_once):
        yield np.arange(first, min(first + at_once, count), dtype=np.int64)
