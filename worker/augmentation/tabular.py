"""Augmentation of a table by interpolated rows (SMOTE) and samples of a model."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.augmentation import MIN_ROWS_PER_LABEL
from core.errors import JobError
from core.settings import get_settings
from modalities.tabular.schema import Column, Schema
from modalities.tabular.type_casting import arrow_type
from modalities.tabular.typed_parquet import arrow_schema
from modalities.tabular.upload import spool
from modalities.tabular.upload.reading import ROWS_FILE, update_table_schema
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from modalities.tabular.upload.summary import TableSummary
from models.augmentation import classifiers
from models.augmentation.smote import Smote, SmoteRows, provenance_of
from models.errors import AcceptanceRateTooLow
from models.tabular import batched_sampling
from models.tabular.id_columns import IdColumn
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import RowIndexRange
from models.tabular.schema import ColumnSchema
from worker.augmentation.context import (
    AugmentationContext,
    LiftExperiment,
    ProvenanceWriter,
    index_chunks,
)

CHUNK_SIZE = 500
MAX_HOLDOUT_ROWS = 4_000  # that the lift experiment classifies


class FreshIds:
    """New values for an id column, in the form of its values and different from all of them."""

    def __init__(self, column: Column, values: pa.Array, seed: int) -> None:
        self._id_column = IdColumn.fit(column.name, arrow_type(column), values)
        self._used, self._seed, self._next_index = set(values.to_pylist()), seed, 0

    def take(self, count: int) -> pa.Array:
        ids: list[Any] = []
        while len(ids) < count:
            indices = np.arange(self._next_index, self._next_index + count, dtype=np.int64)
            candidates = self._id_column.values(self._seed, indices).to_pylist()
            ids += [value for value in candidates if value not in self._used]
            self._next_index += count
        ids = ids[:count]
        self._used.update(ids)
        return pa.array(ids, self._id_column.arrow)


class TableAugmenter:
    def __init__(self, context: AugmentationContext, table: pa.Table) -> None:
        """Take all rows of the dataset as a table without the excluded columns."""
        self._context, self._table = context, table
        schema = Schema.from_dict(context.dataset.summary)
        self._columns = tuple(column for column in schema.columns if not column.exclude)
        self._target = str(schema.target)
        self._learned = [
            ColumnSchema.from_dict(c.to_dict()) for c in self._columns if c.type != "id"
        ]
        self._ids = {
            c.name: FreshIds(c, table.column(c.name).combine_chunks(), context.spec.seed)
            for c in self._columns
            if c.type == "id"
        }
        sampler = context.load_sampler()
        assert sampler is None or isinstance(sampler, TableSampler)  # noqa: S101 - planning checks it
        self._sampler = sampler

    def write(self, out: Path) -> dict[str, Any]:
        path, schema = out / ROWS_FILE, arrow_schema(self._columns)
        limits = get_settings().limits
        with (out / "provenance.ndjson").open("w", encoding="utf-8") as file:
            provenance = ProvenanceWriter(file, self._context.spec)
            batches = (
                batch
                for table in self._tables(provenance)
                for batch in table.cast(schema).combine_chunks().to_batches()
            )
            count = spool.write_parquet(batches, schema, path, limits)
        with path.open("rb") as rows:
            sha256 = hashlib.file_digest(rows, "sha256").hexdigest()
        self._context.check_stop()
        summary = TableSummary(count, Schema(self._columns), (), "augmentation", (), (), sha256)
        return update_table_schema(
            path, summary, SchemaOverrides(target=self._target), limits, out
        ).to_dict()

    def _tables(self, provenance: ProvenanceWriter) -> Iterator[pa.Table]:
        """Yield the new dataset's rows in chunks of one label, and write their provenance.

        Synthetic rows get fresh ids.
        """
        for label, plan in enumerate(self._context.spec.labels):
            sources = self._context.source_indices(label)
            if self._context.spec.include_real and len(sources):
                for index in sources:
                    provenance.real(label, int(index))
                yield self._table.take(pa.array(sources))
            for indices, smote in self._interpolated(label, plan.transforms):
                for i, index in enumerate(indices):
                    provenance.transforms(label, int(index), **provenance_of(smote, sources, i))
                yield self._with_fresh_ids(smote.rows)
            for indices, rows in self._samples(label, plan.model):
                for index in indices:
                    provenance.model(label, int(index))
                yield self._with_fresh_ids(rows)

    def _with_fresh_ids(self, rows: pa.Table) -> pa.Table:
        """Return the rows with ids that no other row has, columns in dataset order."""
        return pa.table(
            {
                c.name: self._ids[c.name].take(len(rows))
                if c.name in self._ids
                else rows.column(c.name)
                for c in self._columns
            }
        )

    def _interpolated(
        self, label: int, count: int
    ) -> Iterator[tuple[NDArray[np.int64], SmoteRows]]:
        if not count:
            return
        label_rows = self._table.take(pa.array(self._context.source_indices(label)))
        smote = Smote(label_rows, self._learned)
        for indices in index_chunks(count, CHUNK_SIZE):
            self._context.check_stop()
            yield indices, smote.generate(self._context.spec.seed, label, indices)

    def _samples(self, label: int, count: int) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
        if not count:
            return
        assert self._sampler is not None  # noqa: S101 - planning checks it
        name = self._context.spec.labels[label].name
        conditions = {self._target: self._context.model_label_codes()[name]}
        seed = self._context.spec.seed
        index_range = RowIndexRange((conditions,), 0, count)
        for indices in index_range.iter_chunks(batched_sampling.ROWS_PER_BATCH):
            self._context.check_stop()
            try:
                batch = batched_sampling.generate_batch(self._sampler, seed, indices, (conditions,))
            except AcceptanceRateTooLow as error:
                raise JobError(
                    "acceptance_rate_too_low",
                    "The model generates too few rows of a label; use transforms instead.",
                ) from error
            columns = {
                c.name: _to_dataset_type(batch.rows.column(c.name), c) for c in self._learned
            }
            yield indices, pa.table(columns)

    def lift_experiment(self) -> LiftExperiment:
        context = self._context
        pool = context.pool(min_real_items=MIN_ROWS_PER_LABEL)
        names = [column.name for column in self._learned]
        # In the order of `pool.labels`: real, then interpolated, then sampled rows.
        parts = [self._table.select(names).take(pa.array(context.train))]
        for label, count in enumerate(pool.transform_counts):
            parts += [smote.rows.select(names) for _, smote in self._interpolated(label, count)]
        for label, count in enumerate(pool.model_counts):
            parts += [rows for _, rows in self._samples(label, count)]
        rng = np.random.default_rng(context.spec.seed)
        holdout = np.sort(rng.permutation(context.holdout)[:MAX_HOLDOUT_ROWS])
        true_labels = context.labels[holdout].astype(np.int64)
        train_classifier = classifiers.build_tabular_trainer(
            (pa.concat_tables(part.cast(parts[0].schema) for part in parts), pool.labels),
            (self._table.select(names).take(pa.array(holdout)), true_labels),
            self._learned,
            self._target,
            pool.sets["real"],
            len(context.spec.labels),
            context.check_stop,
        )
        return LiftExperiment(pool, train_classifier, true_labels)


def _to_dataset_type(values: pa.Array, column: ColumnSchema) -> pa.Array:
    """Return the values without dictionary encoding, in the Arrow type that datasets store."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(arrow_type(Column.from_dict(column.to_dict())), safe=False)
