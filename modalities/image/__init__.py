"""Images: labeled pictures of equal size.

Importing this package does not import numpy, Pillow or torch, which are slow to load.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.source import SourceFile
from core.storage import Storage, StoredObject
from core.tables import Dataset
from modalities.base import Json, OnWait, Split
from modalities.image import ingest
from modalities.image.detection import detect_images
from modalities.image.options import ImageDatasetOptions, ImageDatasetView

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

    def detect(self, head: bytes, name: str) -> float:
        return detect_images(head)

    def ingest(
        self, files: Sequence[SourceFile], options: Json, out: Path, on_wait: OnWait
    ) -> Json:
        return ingest.ingest(files, options, out, on_wait)

    def describe_dataset(self, summary: Json) -> ImageDatasetView:
        return ImageDatasetView.model_validate({"image": summary, "layout": summary.get("layout")})

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


MODALITY = ImageModality()
