"""Small tables and runs for the tests of rows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.checkpoint import unpack
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, TableSettings, resolve
from models.tabular.tokenizer import Tokenizer
from models.tabular.training import AutoregressiveTrainer, train
from models.training_callbacks import PackedCheckpoint

Schema = tuple[ColumnSchema, ...]


@dataclass
class RecordingCallbacks:
    """A run of so many steps that keeps what it is told; stops by raising at `broken_at`."""

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

    def warn(self, step: int, message: str) -> None:
        self.warnings.append(message)

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None:
        self.saved[step] = checkpoint

    def preview(self, step: int, grid: Any) -> None:
        self.previews.append(grid)

    @property
    def last(self) -> PackedCheckpoint:
        return self.saved[max(self.saved)]


def make_settings(table: pa.Table, **explicit: Any) -> TableSettings:
    small = {
        "embedding_dim": 16,
        "hidden_dim": 16,
        "critic_hidden": 16,
        "batch_size": 32,
        "eval_interval": 20,
    }
    return resolve(TableData(len(table), table.num_columns), "fast", {**small, **explicit})


def train_sampler(
    table: pa.Table,
    schema: Schema,
    folder: Path,
    *,
    label: str | None = None,
    steps: int = 60,
    **explicit: Any,
) -> TableSampler:
    run = RecordingCallbacks(steps)
    rows = LabeledRows.split(table, schema, target_column=label, holdout_fraction=0.1, seed=1)
    train(rows, make_settings(table, **explicit), run, seed=1)
    return load_sampler(run.last, folder)


def make_trainer(table: pa.Table, schema: Schema) -> AutoregressiveTrainer:
    """As they are before the first step."""
    tokenizer = Tokenizer.fit(table, schema, target_column="label", seed=1)
    return AutoregressiveTrainer(tokenizer, make_settings(table), seed=1)


def load_sampler(saved: PackedCheckpoint, folder: Path) -> TableSampler:
    (folder / "model").write_bytes(saved.model)
    return TableSampler.load(*unpack(folder / "model"))


def make_people(n: int = 600) -> tuple[pa.Table, Schema]:
    """A label, a category that depends on it, numbers with and without many values, times,
    booleans, missing ones, and an identifier.
    """
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
