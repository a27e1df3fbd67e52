"""Augmentation of a table by interpolated rows (SMOTE) and samples of a model."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from core.errors import JobError
from core.settings import get_settings
from core.storage import StoredObject
from modalities import stored_samplers
from modalities.augmentation import AugmentationInput, Json
from modalities.tabular.schema import Column, Schema
from modalities.tabular.type_casting import arrow_type
from modalities.tabular.typed_parquet import arrow_schema, typed_batches
from modalities.tabular.upload.files import spool
from modalities.tabular.upload.reading import ROWS_FILE, update_table_schema
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from modalities.tabular.upload.summary import TableSummary
from models.augmentation import classifiers
from models.augmentation.lift import TrainClassifier
from models.augmentation.smote import Smote, provenance_of
from models.augmentation.training_sets import TrainingPool
from models.checkpoint import unpack
from models.errors import AcceptanceRateTooLow
from models.tabular import batched_sampling
from models.tabular.identifiers.columns import IdColumn
from models.tabular.identifiers.fitting import rest_kind
from models.tabular.relations.texts.search import find_joined_texts
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import RowIndexRange
from models.tabular.schema import ColumnSchema

CHUNK_SIZE = 500
MAX_HOLDOUT_ROWS = 4_000  # that the lift experiment classifies


@contextmanager
def open_augmenter(job: AugmentationInput) -> Iterator["TableAugmenter"]:
    columns = Schema.from_dict(job.dataset.summary).columns
    with job.storage.open(StoredObject.from_dict(job.dataset.objects["rows"])) as path:
        table = pa.Table.from_batches(list(typed_batches(path, columns)))
    yield TableAugmenter(job, table)


class FreshIds:
    """New values for an id column, in the form of its values and different from all of them.

    Words that stay among identifiers, such as `none`, repeat.

    Lists and quantities may have no other values. They then repeat if those of the table do, and
    so do parts of texts that need not be unique (`may_repeat`).
    """

    def __init__(
        self, column: Column, values: pa.Array, seed: int, *, may_repeat: bool = False
    ) -> None:
        self._id_column = IdColumn.fit(column.name, arrow_type(column), values, kind=column.format)
        present = values.drop_null().to_pylist()
        self._used = set() if may_repeat else set(present)
        self._is_unique = not may_repeat and len(self._used) == len(present)
        self._used -= self._id_column.kept_words
        self._seed, self._next_index = seed, 0

    def take(self, count: int) -> pa.Array:
        """Return `count` values. Raises JobError if unique ones run out."""
        ids: list[Any] = []
        # So many indices have enough new values if different ones have different values.
        end = self._next_index + (count + len(self._used)) * 2 * self._id_column.rows_per_value
        while len(ids) < count:
            if self._next_index >= end:
                self._used = self._without_new_values()
            indices = np.arange(self._next_index, self._next_index + count, dtype=np.int64)
            self._next_index += count
            for value in self._id_column.values(self._seed, indices).to_pylist():
                if value is None or value not in self._used:
                    ids.append(value)
                    if self._is_unique and value is not None:
                        self._used.add(value)
        return pa.array(ids[:count], self._id_column.arrow)

    def _without_new_values(self) -> set[Any]:
        """Return the values to avoid once all are used: none, as the values may repeat."""
        if self._is_unique:
            raise JobError(
                "identifiers_exhausted",
                f"Column {self._id_column.name!r} has no more values of its form, and those of the "
                "dataset are unique. Exclude the column, or request fewer rows.",
            )
        return set()


class TableAugmenter:
    """Implementation of modalities.augmentation.Augmenter; its chunks are tables.

    Synthetic rows have no ids; `write` adds new ones.
    """

    def __init__(self, job: AugmentationInput, table: pa.Table) -> None:
        """Take all rows of the dataset as a table without the excluded columns."""
        self._job, self._table = job, table
        schema = Schema.from_dict(job.dataset.summary)
        self._columns = tuple(column for column in schema.columns if not column.exclude)
        self._target = str(schema.target)
        self._learned = [
            ColumnSchema.from_dict(c.to_dict()) for c in self._columns if c.type != "id"
        ]
        self._sampler: TableSampler | None = None
        self._model_labels: dict[str, Any] = {}
        if job.model is not None:
            device = torch.device(job.device)
            self._sampler = stored_samplers.load(
                job.model, job.storage, lambda path: TableSampler.load(*unpack(path), device)
            )
            labels = job.model.manifest["labels"]
            self._model_labels = {label["name"]: label["value"] for label in labels}

    def real(self, indices: NDArray[np.int64]) -> Iterator[pa.Table]:
        if len(indices):
            yield self._table.take(pa.array(indices))

    def transform(self, label: int, count: int) -> Iterator[tuple[pa.Table, list[Json]]]:
        sources = self._job.indices_of(label)
        smote = Smote(self._table.take(pa.array(sources)), self._learned)
        for first in range(0, count, CHUNK_SIZE):
            self._job.check_stop()
            indices = np.arange(first, min(first + CHUNK_SIZE, count), dtype=np.int64)
            batch = smote.generate(self._job.spec.seed, label, indices)
            yield batch.rows, [provenance_of(batch, sources, i) for i in range(len(indices))]

    def sample(self, label: int, count: int) -> Iterator[pa.Table]:
        assert self._sampler is not None  # noqa: S101 - planning checks it
        conditions = {self._target: self._model_labels[self._job.spec.labels[label].name]}
        index_range = RowIndexRange(0, count, (conditions,))
        for indices in index_range.iter_chunks(batched_sampling.ROWS_PER_BATCH):
            self._job.check_stop()
            try:
                batch = batched_sampling.generate_batch(
                    self._sampler, self._job.spec.seed, indices, (conditions,)
                )
            except AcceptanceRateTooLow as error:
                raise JobError(
                    "acceptance_rate_too_low",
                    "The model generates too few rows of a label; use transforms instead.",
                ) from error
            yield pa.table(
                {c.name: _to_dataset_type(batch.rows.column(c.name), c) for c in self._learned}
            )

    def write(self, chunks: Iterator[tuple[int, pa.Table]], out: Path) -> Json:
        path, schema = out / ROWS_FILE, arrow_schema(self._columns)
        limits = get_settings().limits
        batches = (
            batch
            for table in self._with_ids(table for _, table in chunks)
            for batch in table.cast(schema).combine_chunks().to_batches()
        )
        count = spool.write_parquet(batches, schema, path, limits)
        with path.open("rb") as rows:
            sha256 = hashlib.file_digest(rows, "sha256").hexdigest()
        self._job.check_stop()
        summary = TableSummary(count, Schema(self._columns), (), "augmentation", (), (), sha256)
        return update_table_schema(
            path, summary, SchemaOverrides(target=self._target), limits, out
        ).to_dict()

    def _with_ids(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Yield the tables with ids that no other row has, columns in dataset order.

        New rows join the texts that consist of other columns in the dataset, such as full names.
        """
        types = {c.name: c.type for c in self._columns if c.in_samples}
        joined_texts = find_joined_texts(self._table, types, {self._target})
        rests = {
            joined.column: joined.rests(self._table) for joined in joined_texts if joined.has_rest
        }
        schema = [ColumnSchema.from_dict(c.to_dict()) for c in self._columns]
        kinds = {
            joined.column: rest_kind(joined, rests[joined.column], schema)
            for joined in joined_texts
            if joined.has_rest
        }
        fresh_ids = {
            c.name: FreshIds(
                replace(c, format=kinds[c.name]),
                rests[c.name],
                self._job.spec.seed,
                may_repeat=kinds[c.name] is not None,
            )
            if c.name in rests
            else FreshIds(c, self._table.column(c.name).combine_chunks(), self._job.spec.seed)
            for c in self._columns
            if c.type == "id"
        }
        names = [column.name for column in self._columns]
        for table in tables:
            columns = {name: table.column(name) for name in names if name in table.column_names}
            new = [name for name in fresh_ids if name not in columns]
            columns |= {name: fresh_ids[name].take(len(table)) for name in new}
            for joined in joined_texts if new else ():
                columns[joined.column] = joined.compute(pa.table(columns))
            yield pa.table({name: columns[name] for name in names})

    def prepare_lift(
        self, pool: TrainingPool, chunks: Sequence[pa.Table]
    ) -> tuple[TrainClassifier, NDArray[np.int64]]:
        names = [column.name for column in self._learned]
        rows = [table.select(names) for table in chunks]
        rng = np.random.default_rng(self._job.spec.seed)
        holdout = np.sort(rng.permutation(self._job.holdout)[:MAX_HOLDOUT_ROWS])
        true_labels = self._job.labels[holdout].astype(np.int64)
        train_classifier = classifiers.build_tabular_trainer(
            (pa.concat_tables(table.cast(rows[0].schema) for table in rows), pool.labels),
            (self._table.select(names).take(pa.array(holdout)), true_labels),
            self._learned,
            self._target,
            pool.sets["real"],
            len(self._job.spec.labels),
            self._job.check_stop,
        )
        return train_classifier, true_labels


def _to_dataset_type(values: pa.Array, column: ColumnSchema) -> pa.Array:
    """Return the values without dictionary encoding, in the Arrow type that datasets store."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(arrow_type(Column(**column.to_dict())), safe=False)
