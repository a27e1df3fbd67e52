"""Data that an augmentation job and a modality exchange."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.augmentation import AugmentationSpec
from core.storage import Storage
from core.tables import Dataset, Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.augmentation.lift import TrainClassifier
    from models.augmentation.training_sets import TrainingPool

    Indices = NDArray[np.int64]

Json = dict[str, Any]


@dataclass(frozen=True)
class AugmentationRules:
    """Possible augmentations of a dataset."""

    transforms: Sequence[Json]  # for the augmenter: name and strength of each transform
    item_limits: tuple[int, int]  # minimum and maximum number of items of the new dataset
    # Items that fit into memory while the lift is measured. Synthetic items count twice, because
    # they are evaluated together and for each source alone. None: no limit.
    max_lift_items: int | None = None
    transform_warnings: Mapping[str, str] = field(default_factory=dict)  # messages by code


@dataclass(frozen=True)
class AugmentationInput:
    """Inputs of an augmentation job. Indices are those of the dataset's training split."""

    dataset: Dataset
    model: Model | None
    spec: AugmentationSpec
    storage: Storage
    device: str  # of the model and the classifiers: `cpu` or `cuda:N`
    check_stop: Callable[[], None]  # raises if the job must stop; called at least once a second
    labels: "NDArray[np.int32]"  # of all items of the training split; negative if unlabeled
    train: "Indices"
    holdout: "Indices"

    def indices_of(self, label: int) -> "Indices":
        """Return the indices of the real training items of a label, the inputs of transforms."""
        indices: Indices = self.train[self.labels[self.train] == label]
        return indices


class Augmenter(Protocol):
    """An open dataset and model. The class of its chunks of items is its own; they have a len()."""

    def real(self, indices: "Indices") -> Iterator[Any]:
        """Yield real items of the training split in chunks."""

    def transform(self, label: int, count: int) -> Iterator[tuple[Any, Sequence[Json]]]:
        """Yield chunks of transformed items of one label, and the provenance of each item.

        Item k depends on the seed, the label, k and the real items of the label alone.
        """

    def sample(self, label: int, count: int) -> Iterator[Any]:
        """Yield samples of the model in chunks. Only called for labels of the model."""

    def write(self, chunks: Iterator[tuple[int, Any]], out: Path) -> Json:
        """Write chunks with their label as `object_files` into the folder `out`.

        Returns:
            The summary of the new dataset, as `Datasets.ingest` does.
        """

    def prepare_lift(
        self, pool: "TrainingPool", chunks: Sequence[Any]
    ) -> "tuple[TrainClassifier, NDArray[np.int64]]":
        """Return a function that trains a classifier and tests it on held-out items.

        The chunks are the items of the pool, in order. The second value is the true label of each
        held-out item.
        """
