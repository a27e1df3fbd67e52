"""The labels of a dataset's items to train on, in their order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.datasets.rows.schema import Schema
from core.datasets.rows.spelling import spelled
from core.datasets.rows.typed import TypedRows
from core.storage import Storage, Stored
from core.tables import Dataset


def labels_of(dataset: Dataset, storage: Storage) -> NDArray[np.int32]:
    """(N,) places among the labels of its summary, -1 for an item without one. Raises
    DamagedObject."""
    name = "y" if dataset.kind == "images" else "rows"
    with storage.open(Stored.from_dict(dataset.content[name])) as path:
        if dataset.kind == "images":
            labels = np.load(path, allow_pickle=False)[: dataset.summary["n_train"]]
            return np.asarray(labels, np.int32)
        return _of_rows(path, dataset)


def _of_rows(path: Path, dataset: Dataset) -> NDArray[np.int32]:
    schema = Schema.from_dict(dataset.summary)
    assert schema.target is not None  # noqa: S101 - or it would have no labels
    target = schema[schema.target]
    names = pa.array([label["name"] for label in dataset.summary["labels"]], pa.string())
    parts = [
        pc.index_in(spelled(values, target), value_set=names).fill_null(-1)
        for values in TypedRows(path).column(target)
    ]
    return np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts]).astype(np.int32)
