"""Interface between the service and a kind of data (a modality).

A modality is one object with everything that depends on the kind of data. The service calls only
the methods here; it never asks which modality it has. `docs/architecture.md` shows who calls what.

Importing a modality must be fast: its methods import numpy, pyarrow and torch when they need them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from core.datasets.peek import Peek
from core.datasets.sandbox import OnWait
from core.datasets.source import SourceFile
from core.errors import Conflict
from core.request_fields import NoOptions, RequestModel
from core.storage import Storage
from core.tables import Dataset
from modalities.augmentation import AugmentationInput, AugmentationRules, Augmenter
from modalities.evaluation import EvaluationInput, EvaluationOutput
from modalities.sampling import Sampling
from modalities.training import Training
from models.metrics.score_types import ScoreType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Json = dict[str, Any]
Split = Literal["train", "test"]


@dataclass(frozen=True)
class ItemsPage:
    """Items, {index, label, split}, and the number of all that were selected."""

    items: list[Json]
    total: int


def _not_available(content: str) -> Conflict:
    return Conflict(f"Datasets of this kind have no {content}.", code="not_available")


class Datasets(Protocol):
    """Uploads and datasets."""

    dataset_options: type[RequestModel] = NoOptions
    """Fields of `meta` of a new dataset, in addition to those of all datasets."""

    update_options: type[RequestModel] = NoOptions
    """Fields of `meta` that a client can change later. The stored upload is read again then.

    Uploads of a modality without such fields are not kept."""

    dataset_view: type[BaseModel] = BaseModel
    """Fields of a dataset's representation, in addition to those of all datasets."""

    profile_view: type[BaseModel] = BaseModel
    """Fields of a dataset's profile, in addition to the counts of its items."""

    dataset_links: tuple[str, ...] = ()
    """Resources of a dataset, at `/v1/datasets/{id}/{link}`, that only this modality has."""

    @property
    def object_files(self) -> Mapping[str, str]:
        """File names of the objects that `ingest` writes, by object name."""

    @property
    def content_formats(self) -> Mapping[str, str]:
        """Media types by format, of any number of items. The first one is the default."""

    @property
    def preview_formats(self) -> Mapping[str, str]:
        """Media types by format. The first one is the default."""

    def detect(self, peek: Peek) -> float:
        """Return the confidence, from 0 to 1, that a file is an upload of this modality.

        The modality with the highest confidence reads the file.
        """
        return 0.0

    def ingest(
        self, files: Sequence[SourceFile], options: Json, out: Path, on_wait: OnWait
    ) -> Json:
        """Read the files in a sandbox process, write `object_files` into the folder `out`.

        modalities.sandboxed.SandboxedFiles has an implementation.

        Returns:
            The dataset's summary. It has at least `labels` ({name, count, test_count}),
            `unlabeled`, `n_train`, `n_test`, `format`, `issues`, `notes` and `sha256`.

        Raises:
            DatasetUnreadable: The files cannot be used.
            ValidationFailed: The options do not fit the files.
        """

    def describe_dataset(self, summary: Json) -> Json:
        """Return the fields of `dataset_view` of a dataset that is ready."""
        return {}

    def profile(self, dataset: Dataset, storage: Storage) -> Json:
        """Return statistics of the dataset's items, in addition to the counts of its labels."""
        return {}

    def preview(
        self, dataset: Dataset, storage: Storage, format: str, *, offset: int, limit: int
    ) -> bytes:
        """Return a preview in one of `preview_formats`: some items, or a picture of them."""

    def list_items(
        self,
        dataset: Dataset,
        storage: Storage,
        *,
        split: Split | None,
        label: str | None,
        offset: int,
        limit: int,
    ) -> ItemsPage:
        """Return a page of items that have pictures, by split and label."""
        raise _not_available("items with pictures")

    def item_picture(self, dataset: Dataset, storage: Storage, index: int) -> bytes:
        """Return one item as a PNG. Raises NotFound."""
        raise _not_available("items with pictures")

    def list_rows(
        self,
        dataset: Dataset,
        storage: Storage,
        *,
        where: Mapping[str, Any],
        order: str | None,
        offset: int,
        limit: int,
    ) -> tuple[list[Json], int]:
        """Return a page of rows, {index, values}, and the number of rows that match `where`.

        Raises:
            ValidationFailed: A column does not exist, or a value does not fit it.
        """
        raise _not_available("rows")

    def preview_transforms(
        self, dataset: Dataset, storage: Storage, transforms: Sequence[Json], seed: int
    ) -> bytes:
        """Return a PNG of some items and their transformed versions."""
        raise _not_available("transforms with pictures")

    def export(
        self, dataset: Dataset, storage: Storage, split: Split, format: str, open_files: ExitStack
    ) -> Iterator[bytes]:
        """Encode one split in one of `content_formats`; the upload of the result is the same again.

        Opens the stored files in `open_files`. Raises ObjectCorrupted if one is damaged.
        """


@runtime_checkable
class Evaluation(Protocol):
    """Comparison of samples with real items. Optional: without it, evaluation jobs are refused."""

    @property
    def score_types(self) -> Mapping[str, ScoreType]:
        """Scores that a report may have, by name."""

    @property
    def default_samples(self) -> int:
        """Largest number of samples to evaluate if the request has none."""

    def evaluate(self, evaluation: EvaluationInput) -> EvaluationOutput:
        """Generate samples and compare them with real items that training did not use.

        Raises:
            JobError: The dataset or the model cannot be read.
        """


@runtime_checkable
class Augmentation(Protocol):
    """Larger datasets from smaller ones. Optional: without it, augmentation jobs are refused."""

    @property
    def augmentation_options(self) -> type[RequestModel]:
        """Fields of an augmentation request, in addition to those of all augmentation requests."""

    @property
    def min_real_items(self) -> int:
        """Real items that transforms of a label need."""

    def read_labels(self, dataset: Dataset, storage: Storage) -> "NDArray[np.int32]":
        """Return indices (N,) into the summary's labels, -1 for unlabeled items.

        Only the training split counts. Raises ObjectCorrupted if the stored labels are damaged.
        """

    def augmentation_rules(self, summary: Json, options: Any) -> AugmentationRules:
        """Return the possible augmentations of a dataset. `options` are `augmentation_options`.

        Raises:
            ValidationFailed: The options do not fit the dataset.
        """

    def samples_fit(self, manifest: Json, summary: Json) -> bool:
        """Return True if the model with this manifest generates items of the dataset's form."""

    def holdout_split(
        self, labels: "NDArray[np.int32]", holdout_fraction: float, seed: int
    ) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """Return the indices of the training and holdout items, as in a training job."""

    def open_augmenter(self, job: AugmentationInput) -> AbstractContextManager[Augmenter]:
        """Open the dataset and the model. Raises ObjectCorrupted if the dataset is damaged."""


class Modality(Datasets, Training, Sampling, Protocol):
    """Everything that depends on a kind of data.

    A modality may also have the members of Evaluation and Augmentation.
    """

    @property
    def name(self) -> str:
        """Name in requests, in the database and in the manifests of models."""

    @property
    def items(self) -> str:
        """Plural noun for the items, used in messages: "images"."""
