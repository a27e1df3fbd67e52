"""Images: labeled pictures of equal size.

Importing this package does not import numpy, Pillow or torch, which are slow to load.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.peek import Peek
from core.datasets.sandbox import OnWait
from core.datasets.source import SourceFile
from core.storage import Storage, StoredObject
from core.tables import Dataset
from modalities.augmentation import AugmentationInput, AugmentationRules, Augmenter
from modalities.base import ItemsPage, Json, Modality, Split
from modalities.evaluation import EvaluationInput, EvaluationOutput
from modalities.image import ingest, training_plan
from modalities.image.detection import detect_images
from modalities.image.options import (
    FILE_FORMATS,
    SAMPLE_FORMATS,
    STRIP_FORMATS,
    ImageAugmentationOptions,
    ImageDatasetOptions,
    ImageDatasetView,
    ImageModelView,
    ImageProfileView,
    ImageSampleOptions,
    ImageSelectionOptions,
)
from modalities.image.training_options import (
    ImageHyperparameters,
    ImageTrainingOptions,
    ImageTrainingSpec,
)
from modalities.sampling import Sampler, SamplingPlan, SelectionPlan
from modalities.selection import Selection
from modalities.training import PresetSummary, TrainingRun
from models.images.architectures import available_architectures, available_losses
from models.metrics import score_types

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARD_BYTES = 64 * 1024 * 1024  # of uncompressed pixels


class ImageModality(Modality):
    name, items = "image", "images"
    dataset_options, dataset_view = ImageDatasetOptions, ImageDatasetView
    update_options = ImageDatasetOptions
    profile_view = ImageProfileView
    dataset_links = ("items",)
    object_files = {"x": "x.npy", "y": "y.npy", "preview": "preview.png"}
    content_formats = {
        "zip": "application/zip",
        "npz": "application/x-npz",
        "tar": "application/x-tar",
    }
    preview_formats = {"png": "image/png"}
    training_options, training_spec = ImageTrainingOptions, ImageTrainingSpec
    hyperparameters = ImageHyperparameters
    plan_training = staticmethod(training_plan.plan_training)
    selection_options, sample_options = ImageSelectionOptions, ImageSampleOptions
    model_view = ImageModelView
    sample_formats = SAMPLE_FORMATS | STRIP_FORMATS
    file_formats = FILE_FORMATS
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

    def detect(self, peek: Peek) -> float:
        return detect_images(peek)

    def ingest(
        self, files: Sequence[SourceFile], options: Json, out: Path, on_wait: OnWait
    ) -> Json:
        return ingest.ingest(files, options, out, on_wait)

    def describe_dataset(self, summary: Json) -> Json:
        return {"image": summary, "layout": summary.get("layout")}

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
        from modalities.image import items

        return items.list_items(
            dataset, storage, split=split, label=label, offset=offset, limit=limit
        )

    def item_picture(self, dataset: Dataset, storage: Storage, index: int) -> bytes:
        from modalities.image import items

        return items.read_item(dataset, storage, index)

    def preview_transforms(
        self, dataset: Dataset, storage: Storage, transforms: Sequence[Json], seed: int
    ) -> bytes:
        from modalities.image import items

        return items.preview_transforms(dataset, storage, transforms, seed)

    def export(
        self, dataset: Dataset, storage: Storage, split: Split, format: str, open_files: ExitStack
    ) -> Iterator[bytes]:
        from modalities.image import encode

        x, y = (
            open_files.enter_context(storage.open(StoredObject.from_dict(dataset.objects[name])))
            for name in ("x", "y")
        )
        return encode.encode_dataset(x, y, dataset.summary, split, format)

    @property
    def architectures(self) -> Sequence[str]:
        return available_architectures()

    @property
    def losses(self) -> Sequence[str]:
        return available_losses()

    def presets(self) -> Sequence[PresetSummary]:
        return training_plan.presets()

    def train(self, run: TrainingRun) -> None:
        from modalities.image import train

        train.train(run)

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

    def preload(self) -> None:
        from modalities.image import sampler  # noqa: F401

    def plan_samples(
        self, manifest: Json, selection: Selection, options: ImageSampleOptions, seed: int
    ) -> SamplingPlan:
        from modalities.image import request

        return request.plan_samples(manifest, selection, options, seed)

    def plan_selection(
        self, manifest: Json, selection: Selection, options: ImageSelectionOptions, seed: int
    ) -> SelectionPlan:
        from modalities.image import request

        return request.plan_selection(manifest, selection, options, seed)

    def read_plan(self, manifest: Json, plan: Json, seed: int) -> SelectionPlan:
        from modalities.image import request

        return request.read_plan(manifest, plan, seed)

    def shard_size(self, manifest: Json) -> int:
        image = manifest["image"]
        size: int = SHARD_BYTES // (image["height"] * image["width"] * image["channels"])
        return min(max(size, 1_000), 50_000)

    def item_bytes(self, manifest: Json) -> int:
        image = manifest["image"]
        return int(image["height"] * image["width"] * image["channels"])

    def load_sampler(self, path: Path, device: str = "cpu") -> Sampler:
        from modalities.image.sampler import ImagePlanSampler

        return ImagePlanSampler.load(path, device)

    def describe_networks(self, path: Path) -> Sequence[object]:
        from modalities.image import model_file

        return model_file.describe_networks(path)

    def check_import(self, manifest: Json, weights: Path) -> None:
        from modalities.image import model_file

        model_file.check_import(manifest, weights)

    def describe_model(self, manifest: Json) -> Json:
        return {"image": manifest["image"]}


MODALITY = ImageModality()
