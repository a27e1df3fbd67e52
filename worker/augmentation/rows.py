"""More rows: between those of a label, and samples of a model."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.augmentation import LEAST_ROWS
from core.datasets.rows import Column, RowSummary, Schema, Wanted, spool
from core.datasets.rows.casting import ARROW
from core.datasets.rows.reading import ROWS_FILE, revise_rows
from core.datasets.rows.typed import arrow_schema
from core.errors import JobError
from core.settings import get_settings
from models.augmentation import learners
from models.augmentation.neighbours import Between, Neighbourhood, told
from models.rarity import TooRare
from models.tables import drawing
from models.tables.identifiers import Identifier
from models.tables.order import Part
from models.tables.sampling import RowSampler
from models.tables.schema import ColumnSchema
from worker.augmentation.material import Ground, Recipes, Trial, numbers

AT_ONCE = 500
ASKED = 4_000  # held-out rows, in a trial


class FreshIds:
    """Values of the form that a column's have, none of them there already."""

    def __init__(self, column: Column, values: pa.Array, seed: int) -> None:
        self._identifier = Identifier.fit(column.name, ARROW[column.type], values)
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


class RowMaterial:
    def __init__(self, ground: Ground, table: pa.Table) -> None:
        """All rows of the dataset, without the columns that are dropped."""
        self._ground, self._table = ground, table
        schema = Schema.from_dict(ground.dataset.summary)
        self._columns = tuple(column for column in schema.columns if not column.drop)
        self._target = str(schema.target)
        self._learned = [
            ColumnSchema.from_dict(c.to_dict()) for c in self._columns if c.type != "id"
        ]
        self._ids = {
            c.name: FreshIds(c, table.column(c.name).combine_chunks(), ground.spec.seed)
            for c in self._columns
            if c.type == "id"
        }
        generator = ground.generator()
        assert generator is None or isinstance(generator, RowSampler)  # noqa: S101 - as planned
        self._generator = generator

    def write(self, out: Path) -> dict[str, Any]:
        path, schema = out / ROWS_FILE, arrow_schema(self._columns)
        limits = get_settings().limits
        with (out / "recipes.ndjson").open("w", encoding="utf-8") as file:
            recipes = Recipes(file, self._ground.spec)
            batches = (
                batch
                for part in self._parts(recipes)
                for batch in part.cast(schema).combine_chunks().to_batches()
            )
            count = spool.write(batches, schema, path, limits)
        with path.open("rb") as rows:
            sha256 = hashlib.file_digest(rows, "sha256").hexdigest()
        self._ground.go_on()
        read = RowSummary(count, Schema(self._columns), (), "augmentation", (), (), sha256)
        return revise_rows(path, read, Wanted(target=self._target), limits, out).to_dict()

    def _parts(self, recipes: Recipes) -> Iterator[pa.Table]:
        """Some rows of one label at a time; made ones get fresh ids."""
        for label, plan in enumerate(self._ground.spec.labels):
            places = self._ground.places(label)
            if self._ground.spec.include_real and len(places):
                for place in places:
                    recipes.real(label, int(place))
                yield self._table.take(pa.array(places))
            for at, between in self._between(label, plan.classical):
                for i, number in enumerate(at):
                    recipes.classical(label, int(number), **told(between, places, i))
                yield self._named(between.rows)
            for at, rows in self._drawn(label, plan.gan):
                for number in at:
                    recipes.gan(label, int(number))
                yield self._named(rows)

    def _named(self, rows: pa.Table) -> pa.Table:
        """In the order of the columns, with ids that no other row has."""
        return pa.table(
            {
                c.name: self._ids[c.name].take(len(rows))
                if c.name in self._ids
                else rows.column(c.name)
                for c in self._columns
            }
        )

    def _between(self, label: int, count: int) -> Iterator[tuple[NDArray[np.int64], Between]]:
        if not count:
            return
        mine = self._table.take(pa.array(self._ground.places(label)))
        near = Neighbourhood(mine, self._learned)
        for at in numbers(count, AT_ONCE):
            self._ground.go_on()
            yield at, near.rows(self._ground.spec.seed, label, at)

    def _drawn(self, label: int, count: int) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
        if not count:
            return
        assert self._generator is not None  # noqa: S101 - as planned
        where = {self._target: self._ground.learned()[self._ground.spec.labels[label].name]}
        seed = self._ground.spec.seed
        for at in Part((where,), 0, count).chunks(drawing.AT_ONCE):
            self._ground.go_on()
            try:
                rows = drawing.drawn(self._generator, seed, at, (where,)).rows
            except TooRare as error:
                raise JobError("too_rare", "the model makes too few rows of a label") from error
            yield at, pa.table({c.name: _plain(rows.column(c.name), c) for c in self._learned})

    def trial(self) -> Trial:
        ground = self._ground
        pool = ground.pool(least_classical=LEAST_ROWS)
        names = [column.name for column in self._learned]
        parts = [self._table.select(names).take(pa.array(ground.train))]
        for label, count in enumerate(pool.classical):
            parts += [between.rows.select(names) for _, between in self._between(label, count)]
        for label, count in enumerate(pool.gan):
            parts += [rows for _, rows in self._drawn(label, count)]
        rng = np.random.default_rng(ground.spec.seed)
        apart = np.sort(rng.permutation(ground.apart)[:ASKED])
        truth = ground.labels[apart].astype(np.int64)
        learn = learners.of_rows(
            (pa.concat_tables(part.cast(parts[0].schema) for part in parts), pool.labels),
            (self._table.select(names).take(pa.array(apart)), truth),
            self._learned,
            self._target,
            pool.sets["real"],
            len(ground.spec.labels),
            ground.go_on,
        )
        return Trial(pool, learn, truth)


def _plain(values: pa.Array, column: ColumnSchema) -> pa.Array:
    """As datasets keep it."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(ARROW[column.type], safe=False)
