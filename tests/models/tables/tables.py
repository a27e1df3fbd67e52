"""Small tables and runs for the tests of rows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.checkpoint import unpack
from models.run import Saved
from models.tables.data import LabelledRows
from models.tables.encoding import Encoding
from models.tables.sampling import RowSampler
from models.tables.schema import ColumnSchema
from models.tables.settings import TableData, TableSettings, resolve
from models.tables.training import Networks, train

Schema = tuple[ColumnSchema, ...]


@dataclass
class Steps:
    """A run of so many steps that keeps what it is told; stops by raising at `broken_at`."""

    total: int
    checkpoints: tuple[int, ...] = ()
    broken_at: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    saved: dict[int, Saved] = field(default_factory=dict)
    pictures: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def progress(self, step: int) -> float:
        if step == self.broken_at:
            raise KeyboardInterrupt
        return min(1.0, step / self.total)

    def wants_checkpoint(self, step: int) -> bool:
        return step in self.checkpoints

    def wants_preview(self, step: int) -> bool:
        return step == 0

    def report(self, step: int, metrics: dict[str, float]) -> None:
        self.metrics |= metrics

    def warn(self, step: int, message: str) -> None:
        self.warnings.append(message)

    def save(self, step: int, saved: Saved) -> None:
        self.saved[step] = saved

    def preview(self, step: int, sheet: Any) -> None:
        self.pictures.append(sheet)

    @property
    def last(self) -> Saved:
        return self.saved[max(self.saved)]


def settings_of(table: pa.Table, **explicit: Any) -> TableSettings:
    small = {"width": 16, "hidden": 16, "critic_hidden": 16, "batch": 32, "measure_every": 20}
    return resolve(TableData(len(table), table.num_columns), "fast", {**small, **explicit})


def trained(
    table: pa.Table,
    schema: Schema,
    folder: Path,
    *,
    label: str | None = None,
    steps: int = 60,
    **explicit: Any,
) -> RowSampler:
    run = Steps(steps)
    rows = LabelledRows.split(table, schema, label=label, held_out=0.1, seed=1)
    train(rows, settings_of(table, **explicit), run, seed=1)
    return loaded(run.last, folder)


def networks(table: pa.Table, schema: Schema) -> Networks:
    """As they are before the first step."""
    encoding = Encoding.fit(table, schema, label="label", seed=1)
    return Networks(encoding, settings_of(table), seed=1)


def loaded(saved: Saved, folder: Path) -> RowSampler:
    (folder / "model").write_bytes(saved.model)
    return RowSampler.load(*unpack(folder / "model"))


def people(n: int = 600) -> tuple[pa.Table, Schema]:
    """A label, a category that depends on it, numbers with and without many values, times,
    booleans, missing ones, and an identifier."""
    rng = np.random.default_rng(5)
    label = rng.choice(["no", "yes"], n, p=[0.7, 0.3])
    city = np.where(label == "yes", "Zürich", rng.choice(["東京", "Köln"], n))
    age = rng.integers(18, 90, n)
    income = np.round(rng.lognormal(8, 1, n), 2)
    times = np.datetime64("2020-01-01", "us") + rng.integers(0, 900, n) * np.timedelta64(1, "D")
    table = pa.table(
        {
            "id": [f"C-{k:05d}" for k in range(n)],
            "city": pa.array(city, mask=rng.random(n) < 0.1),
            "age": age,
            "income": pa.array(income, mask=rng.random(n) < 0.2),
            "since": times,
            "member": rng.random(n) < 0.25,
            "7": rng.integers(0, 3, n),
            "label": label,
        }
    )
    schema = (
        ColumnSchema("id", "id"),
        ColumnSchema("city", "category", nullable=True),
        ColumnSchema("age", "integer"),
        ColumnSchema("income", "number", nullable=True),
        ColumnSchema("since", "datetime"),
        ColumnSchema("member", "boolean"),
        ColumnSchema("7", "integer"),
        ColumnSchema("label", "category"),
    )
    return table, schema
