"""Export of a dataset in the formats that samples are returned in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from core.tables import Dataset
from modalities.image import encode as images
from modalities.image.upload.npy_store import BLOCK_BYTES
from modalities.tabular import encode as rows
from modalities.tabular.schema import Schema
from modalities.tabular.typed_parquet import typed_batches

Split = Literal["train", "test"]


def export_images(x: Path, y: Path, dataset: Dataset, split: Split, format: str) -> Iterator[bytes]:
    """Encode one split of an image dataset. `x` and `y` are local files of its objects."""
    summary = dataset.summary
    n = summary["n_train"]
    span = slice(0, n) if split == "train" else slice(n, None)
    pixels = np.load(x, mmap_mode="r", allow_pickle=False)[span]
    labels = np.load(y, allow_pickle=False)[span].astype(np.int64)
    names = [label["name"] for label in summary["labels"]]
    if not names:
        labels = np.zeros_like(labels)  # as in samples of unconditional models
    size = max(1, BLOCK_BYTES // pixels[0].nbytes)
    batches = (
        (labels[start : start + size], np.asarray(pixels[start : start + size]))
        for start in range(0, len(labels), size)
    )
    return images.encode(format, batches, names, count=len(labels), image=summary)


def export_rows(path: Path, dataset: Dataset, format: str) -> Iterator[bytes]:
    """Encode all rows with the types of the schema, without the excluded columns."""
    schema = Schema.from_dict(dataset.summary)
    columns = [column for column in schema.columns if not column.exclude]
    return rows.encode(format, typed_batches(path, schema.columns), columns, {})
