"""Small tables and training runs for the tests of tabular models."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.checkpoint import unpack
from models.tabular.data import LabeledRows
from models.tabular.relations.coding import RelationCoding
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, TableSettings, resolve
from models.tabular.training import train
from models.training_callbacks import PackedCheckpoint

Schema = tuple[ColumnSchema, ...]


@dataclass
class RecordingCallbacks:
    """Callbacks of a run of `total_steps` steps that keep its checkpoints, metrics and previews.

    The run is interrupted when it reaches `interrupt_at`.
    """

    total_steps: int
    checkpoints: tuple[int, ...] = ()
    interrupt_at: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    saved: dict[int, PackedCheckpoint] = field(default_factory=dict)
    previews: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def progress(self, step: int) -> float:
        if step == self.interrupt_at:
            raise KeyboardInterrupt
        return min(1.0, step / self.total_steps)

    def should_checkpoint(self, step: int) -> bool:
        return step in self.checkpoints

    def should_preview(self, step: int) -> bool:
        return step == 0

    def report(self, step: int, metrics: dict[str, float]) -> None:
        self.metrics |= metrics

    def warn(self, step: int, message: str, code: str | None = None) -> None:
        self.warnings.append(message)

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None:
        self.saved[step] = checkpoint

    def preview(self, step: int, grid: Any) -> None:
        self.previews.append(grid)

    @property
    def last_checkpoint(self) -> PackedCheckpoint:
        return self.saved[max(self.saved)]


def make_settings(table: pa.Table, **overrides: Any) -> TableSettings:
    small_networks = {
        "embedding_dim": 16,
        "hidden_dim": 16,
        "critic_hidden": 16,
        "batch_size": 32,
        "eval_interval": 20,
    }
    return resolve(
        TableData(len(table), table.num_columns), "fast", {**small_networks, **overrides}
    )


def train_sampler(
    table: pa.Table,
    schema: Schema,
    folder: Path,
    *,
    label: str | None = None,
    steps: int = 60,
    **overrides: Any,
) -> TableSampler:
    callbacks = RecordingCallbacks(steps)
    rows = LabeledRows.split(table, schema, target_column=label, holdout_fraction=0.1, seed=1)
    train(rows, make_settings(table, **overrides), callbacks, seed=1)
    return load_sampler(callbacks.last_checkpoint, folder)


def load_sampler(checkpoint: PackedCheckpoint, folder: Path) -> TableSampler:
    (folder / "model").write_bytes(checkpoint.model)
    return TableSampler.load(*unpack(folder / "model"))


def decode_shuffled(coding: RelationCoding, table: pa.Table) -> pa.RecordBatch:
    """Return decoded rows whose coded columns are independent."""
    rng = np.random.default_rng(1)
    coded = coding.encode(table).combine_chunks()
    mixed = [column.take(pa.array(rng.permutation(len(coded)))) for column in coded.columns]
    batch = pa.table(mixed, schema=coded.schema).combine_chunks().to_batches()[0]
    return coding.decode(batch, table.schema)


def make_people(count: int = 600) -> tuple[pa.Table, Schema]:
    """Return a table with all column types, and its schema.

    The city depends on the label. Some values are missing, and one column is an identifier.
    """
    rng = np.random.default_rng(5)
    label = rng.choice(["no", "yes"], count, p=[0.7, 0.3])
    city = np.where(label == "yes", "Zürich", rng.choice(["東京", "Köln"], count))
    age = rng.integers(18, 90, count)
    income = np.round(rng.lognormal(8, 1, count), 2)
    times = np.datetime64("2020-01-01", "us") + rng.integers(0, 900, count) * np.timedelta64(1, "D")
    table = pa.table(
        {
            "id": [f"C-{k:05d}" for k in range(count)],
            "city": pa.array(city, mask=rng.random(count) < 0.1),
            "age": age,
            "income": pa.array(income, mask=rng.random(count) < 0.2),
            "since": times,
            "member": rng.random(count) < 0.25,
            "7": rng.integers(0, 3, count),
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
