"""Memory and time of training on very many rows: `python -m bench.many_rows`.

Makes a table on disk (numbers that depend on names), trains on it memory-mapped with the preset
`fast`, and prints the most anonymous memory that the process ever had while it trained.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from bench.many_images import Steps
from models.tabular.data import LabeledRows
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, budget, resolve
from models.tabular.training import train

CATEGORY_COLUMNS, NUMERIC_COLUMNS, CATEGORIES = 8, 6, 12
CHUNK_SIZE = 50_000
SCHEMA = (
    *(ColumnSchema(f"name_{i}", "category") for i in range(CATEGORY_COLUMNS)),
    *(ColumnSchema(f"number_{i}", "number") for i in range(NUMERIC_COLUMNS)),
)


def make_table(path: Path, count: int) -> pa.Table:
    """Memory-mapped; the first name is the label."""
    fields = [(c.name, pa.string() if c.type == "category" else pa.float64()) for c in SCHEMA]
    rng = np.random.default_rng(0)
    with pa.ipc.new_file(path, pa.schema(fields)) as file:
        for start in range(0, count, CHUNK_SIZE):
            n = min(CHUNK_SIZE, count - start)
            name = rng.integers(0, CATEGORIES, (CATEGORY_COLUMNS, n))
            name[1:] = np.where(rng.random((CATEGORY_COLUMNS - 1, n)) < 0.5, name[:1], name[1:])
            mean = np.resize(name, (NUMERIC_COLUMNS, n))
            number = np.round(mean + rng.lognormal(0, 0.5, (NUMERIC_COLUMNS, n)), 2)
            arrays = [pa.array([f"n{k}" for k in row.tolist()]) for row in name]
            arrays += [pa.array(row) for row in number]
            file.write_batch(pa.record_batch(arrays, schema=pa.schema(fields)))
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--steps", type=int, help="default: those of the preset")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = TableData(arguments.rows, len(SCHEMA), CATEGORY_COLUMNS)
    settings = resolve(data, "fast", {})
    run = Steps(arguments.steps or math.ceil(budget(data, settings, "fast")["steps"]))
    with tempfile.TemporaryDirectory() as folder:
        rows = LabeledRows.split(
            make_table(Path(folder) / "rows.arrow", arguments.rows),
            SCHEMA,
            target_column="name_0",
            holdout_fraction=10_000 / arguments.rows,
            seed=1,
        )
        started = time.process_time()
        train(rows, settings, run, seed=1)
        spent = time.process_time() - started
    print(
        f"{arguments.rows:,} rows, {run.steps:,} steps at most: {run.peak_bytes / 1e9:.2f} GB anonymous, "
        f"{spent:.0f} CPU-s"
    )


if __name__ == "__main__":
    main()
