"""Labels of a dataset's training items, in the order of the items."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.storage import Storage, StoredObject
from core.tables import Dataset
from modalities.tabular.formatting import format_values
from modalities.tabular.schema import Schema
from modalities.tabular.typed_parquet import TypedParquet


def read_labels(dataset: Dataset, storage: Storage) -> NDArray[np.int32]:
    """Return indices (N,) into the labels of the dataset's summary, -1 for unlabeled items.

    Raises ObjectCorrupted if the stored labels are missing or damaged.
    """
    name = "y" if dataset.modality == "image" else "rows"
    with storage.open(StoredObject.from_dict(dataset.objects[name])) as path:
        if dataset.modality == "image":
            labels = np.load(path, allow_pickle=False)[: dataset.summary["n_train"]]
            return np.asarray(labels, np.int32)
        return _read_row_labels(path, dataset)


def _read_row_labels(path: Path, dataset: Dataset) -> NDArray[np.int32]:
    schema = Schema.from_dict(dataset.summary)
    assert schema.target is not None  # noqa: S101 - only tables with a target have labels
    target = schema[schema.target]
    names = pa.array([label["name"] for label in dataset.summary["labels"]], pa.string())
    parts = [
        pc.index_in(format_values(values, target), value_set=names).fill_null(-1)
        for values in TypedParquet(path).column(target)
    ]
    return np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts]).astype(np.int32)
