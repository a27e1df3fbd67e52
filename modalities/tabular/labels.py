"""Labels of a table: the values of its target column."""

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
    """Return the label index of each row; see modalities.base.Datasets.read_labels."""
    schema = Schema.from_dict(dataset.summary)
    assert schema.target is not None  # noqa: S101 - only tables with a target have labels
    target = schema[schema.target]
    names = pa.array([label["name"] for label in dataset.summary["labels"]], pa.string())
    with storage.open(StoredObject.from_dict(dataset.objects["rows"])) as path:
        parts = [
            pc.index_in(format_values(values, target), value_set=names).fill_null(-1)
            for values in TypedParquet(path).column(target)
        ]
    return np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts]).astype(np.int32)
