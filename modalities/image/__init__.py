"""Images: labeled pictures of equal size.

Importing this package does not import numpy, Pillow or torch, which are slow to load.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.file_type import detect_file_type
from core.datasets.source import SourceFile
from core.storage import Storage, StoredObject
from core.tables import Dataset
from modalities.augmentation import AugmentationInput, AugmentationRules, Augmenter
from modalities.base import Json, OnWait, Split
from modalities.evaluation import EvaluationInput, EvaluationOutput
from modalities.image import ingest
from modalities.image.options import (
    ImageAugmentationOptions,
    ImageDatasetOptions,
    ImageDatasetView,
)
from models.metrics import score_types

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ImageModality:
    """Implementation of modalities.base.Modality."""

    name, items = "image", "images"
    dataset_options, dataset_view = ImageDatasetOptions, ImageDatasetView
    object_files = {"x": "x.npy", "y": "y.npy", "preview": "preview.png"}
    content_formats = {
        "zip": "application/zip",
        "npz": "application/x-npz",
        "tar": "application/x-tar",
    }
    has_schema = False
    preview_formats = {"png": "image/png"}
    score_types = score_types.select(
        (
            "frechet_distance",
            "kernel_distance",
            "precision",
            "recall",
            "density",
            "coverage",
            "detection_auc",
            "detection_accuracy",
            "label_accuracy",
            "tstr_score",
            "near_duplicate_rate",
            "memorization_rate",
            "membership_inference_auc",
            "membership_inference_tpr_at_1pct_fpr",
        )
    )
    default_samples = 10_000
    augmentation_options = ImageAugmentationOptions
    min_real_items = 1

    def detect(self, head: bytes, name: str, entries: Sequence[str]) -> float:
        # Files that no modality recognizes are read as images too: that reader explains what it
        # expects.
        return 0.3 if detect_file_type(head) else 0.1

    def ingest(
        self, files: Sequence[SourceFile], options: Json, out: Path, on_wait: OnWait
    ) -> Json:
        return ingest.ingest(files, options, out, on_wait)

    def describe_dataset(self, summary: Json) -> ImageDatasetView:
        return ImageDatasetView.model_validate({"image": summary})

    def read_labels(self, dataset: Dataset, storage: Storage) -> "NDArray[np.int32]":
        import numpy as np

        with storage.open(StoredObject.from_dict(dataset.objects["y"])) as path:
            labels = np.load(path, allow_pickle=False)[: dataset.summary["n_train"]]
            return np.asarray(labels, np.int32)

    def profile(self, dataset: Dataset, storage: Storage) -> Json:
        profile: Json = dataset.summary["profile"]
        return profile

    def preview(self, dataset: Dataset, storage: Storage, format: str, **_page: Any) -> bytes:
        return storage.read(StoredObject.from_dict(dataset.objects["preview"]))

    def export(
        self, dataset: Dataset, storage: Storage, split: Split, format: str, open_files: ExitStack
    ) -> Iterator[bytes]:
        from modalities.image import encode

        x, y = (
            open_files.enter_context(storage.open(StoredObject.from_dict(dataset.objects[name])))
            for name in ("x", "y")
        )
        return encode.encode_dataset(x, y, dataset.summary, split, format)

    def evaluate(self, evaluation: EvaluationInput) -> EvaluationOutput:
        from modalities.image.evaluate import evaluate

        return evaluate(evaluation)

    def augmentation_rules(
        self, summary: Json, options: ImageAugmentationOptions
    ) -> AugmentationRules:
        from modalities.image.augmentation_rules import augmentation_rules

        return augmentation_rules(summary, options)

    def samples_fit(self, manifest: Json, summary: Json) -> bool:
        return all(
            manifest["image"][side] == summary[side] for side in ("height", "width", "channels")
        )

    def holdout_split(
        self, labels: "NDArray[np.int32]", holdout_fraction: float, seed: int
    ) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        from models.split import stratified_split

        return stratified_split(labels, holdout_fraction, seed)

    def open_augmenter(self, job: AugmentationInput) -> AbstractContextManager[Augmenter]:
        from modalities.image.augment import open_augmenter

        return open_augmenter(job)


MODALITY = ImageModality()
