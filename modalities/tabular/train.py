"""Table rows as training data."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from core.errors import JobError
from core.storage import ObjectCorrupted, Storage, StoredObject
from core.tables import Dataset
from core.training import TrainingSpec
from modalities.tabular.schema import Schema
from modalities.tabular.typed_parquet import typed_batches
from models.tabular.data import LabeledRows
from models.tabular.schema import ColumnSchema


@contextmanager
def open_table(dataset: Dataset, spec: TrainingSpec, storage: Storage) -> Iterator[LabeledRows]:
    """Open the table without its excluded columns.

    Raises:
        JobError: The dataset is damaged.
    """
    columns = Schema.from_dict(dataset.summary).columns
    try:
        with storage.open(StoredObject.from_dict(dataset.objects["rows"])) as path:
            table = pa.Table.from_batches(list(typed_batches(path, columns)))
            schema = [ColumnSchema.from_dict(c.to_dict()) for c in columns if not c.exclude]
            yield LabeledRows.split(
                table,
                schema,
                target_column=spec.target_column,
                holdout_fraction=spec.holdout_fraction,
                seed=spec.seed,
            )
    except ObjectCorrupted as error:
        raise JobError("dataset_unreadable", f"{error} Upload the dataset again.") from error
