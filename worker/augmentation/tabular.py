"""More rows: between those of a label, and samples of a model."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.augmentation import MIN_ROWS_PER_LABEL
from core.datasets.tabular import Column, Schema, SchemaOverrides, TableSummary, spool
from core.datasets.tabular.reading import ROWS_FILE, update_table_schema
from core.datasets.tabular.type_casting import ARROW_TYPES
from core.datasets.tabular.typed_parquet import arrow_schema
from core.errors import JobError
from core.settings import get_settings
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
MAX_HOLDOUT_ROWS = 4_000  # held-out rows, in a trial


class FreshIds:
    """Values of the form that a column's have, none of them there already."""

    def __init__(self, column: Column, values: pa.Array, seed: int) -> None:
        self._identifier = IdColumn.fit(column.name, ARROW_TYPES[column.type], values)
        self._taken, self._seed, self._next = set(values.to_pylist()), seed, 0

    def take(self, count: int) -> pa.Array:
        found: list[Any] = []
        while len(found) < count:
            index = np.arange(self._next, self._next + count, dtype=np.int64)
            made = self._identifier.values(self._seed, index).to_pylist()
            found += [value for value in made if value not in self._taken]
            self._next += count
        found = found[:count]
        self._taken.update(found)
        return pa.array(found, self._identifier.arrow)


class TableAugmenter:
    def __init__(self, context: AugmentationContext, table: pa.Table) -> None:
        """All rows of the dataset, without the columns that are dropped."""
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
        generator = context.load_sampler()
        assert generator is None or isinstance(generator, TableSampler)  # noqa: S101 - as planned
        self._sampler = generator

    def write(self, out: Path) -> dict[str, Any]:
        path, schema = out / ROWS_FILE, arrow_schema(self._columns)
        limits = get_settings().limits
        with (out / "provenance.ndjson").open("w", encoding="utf-8") as file:
            recipes = ProvenanceWriter(file, self._context.spec)
            batches = (
                batch
                for part in self._tables(recipes)
                for batch in part.cast(schema).combine_chunks().to_batches()
            )
            count = spool.write_parquet(batches, schema, path, limits)
        with path.open("rb") as rows:
            sha256 = hashlib.file_digest(rows, "sha256").hexdigest()
        self._context.check_stop()
        read = TableSummary(count, Schema(self._columns), (), "augmentation", (), (), sha256)
        return update_table_schema(
            path, read, SchemaOverrides(target=self._target), limits, out
        ).to_dict()

    def _tables(self, provenance: ProvenanceWriter) -> Iterator[pa.Table]:
        """Some rows of one label at a time; made ones get fresh ids."""
        for label, plan in enumerate(self._context.spec.labels):
            places = self._context.source_indices(label)
            if self._context.spec.include_real and len(places):
                for place in places:
                    provenance.real(label, int(place))
                yield self._table.take(pa.array(places))
            for at, between in self._interpolated(label, plan.transforms):
                for i, number in enumerate(at):
                    provenance.transforms(label, int(number), **provenance_of(between, places, i))
                yield self._with_fresh_ids(between.rows)
            for at, rows in self._samples(label, plan.model):
                for number in at:
                    provenance.model(label, int(number))
                yield self._with_fresh_ids(rows)

    def _with_fresh_ids(self, rows: pa.Table) -> pa.Table:
        """In the order of the columns, with ids that no other row has."""
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
        mine = self._table.take(pa.array(self._context.source_indices(label)))
        near = Smote(mine, self._learned)
        for at in index_chunks(count, CHUNK_SIZE):
            self._context.check_stop()
            yield at, near.generate(self._context.spec.seed, label, at)

    def _samples(self, label: int, count: int) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
        if not count:
            return
        assert self._sampler is not None  # noqa: S101 - as planned
        where = {
            self._target: self._context.model_label_codes()[self._context.spec.labels[label].name]
        }
        seed = self._context.spec.seed
        for at in RowIndexRange((where,), 0, count).iter_chunks(batched_sampling.ROWS_PER_BATCH):
            self._context.check_stop()
            try:
                rows = batched_sampling.generate_batch(self._sampler, seed, at, (where,)).rows
            except AcceptanceRateTooLow as error:
                raise JobError(
                    "acceptance_rate_too_low", "the model makes too few rows of a label"
                ) from error
            yield at, pa.table({c.name: _plain(rows.column(c.name), c) for c in self._learned})

    def lift_experiment(self) -> LiftExperiment:
        ground = self._context
        pool = ground.pool(min_real_items=MIN_ROWS_PER_LABEL)
        names = [column.name for column in self._learned]
        parts = [self._table.select(names).take(pa.array(ground.train))]
        for label, count in enumerate(pool.transform_counts):
            parts += [between.rows.select(names) for _, between in self._interpolated(label, count)]
        for label, count in enumerate(pool.model_counts):
            parts += [rows for _, rows in self._samples(label, count)]
        rng = np.random.default_rng(ground.spec.seed)
        apart = np.sort(rng.permutation(ground.holdout)[:MAX_HOLDOUT_ROWS])
        truth = ground.labels[apart].astype(np.int64)
        learn = classifiers.build_tabular_trainer(
            (pa.concat_tables(part.cast(parts[0].schema) for part in parts), pool.labels),
            (self._table.select(names).take(pa.array(apart)), truth),
            self._learned,
            self._target,
            pool.sets["real"],
            len(ground.spec.labels),
            ground.check_stop,
        )
        return LiftExperiment(pool, learn, truth)


def _plain(values: pa.Array, column: ColumnSchema) -> pa.Array:
    """As datasets keep it."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(ARROW_TYPES[column.type], safe=False)
