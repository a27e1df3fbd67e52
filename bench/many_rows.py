"""Measure the memory and time of training on 300,000 rows: `python -m bench.many_rows`.

The program writes a table to disk (numbers that depend on categories), trains on it memory-mapped
with the preset `fast`, and prints the peak anonymous memory of the process and the CPU time.
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
from models.tabular.budget import budget
from models.tabular.data import LabeledRows
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, resolve
from models.tabular.training import train

CATEGORY_COLUMNS, NUMERIC_COLUMNS, CATEGORIES = 8, 6, 12
CHUNK_SIZE = 50_000
SCHEMA = (
    *(ColumnSchema(f"name_{i}", "category") for i in range(CATEGORY_COLUMNS)),
    *(ColumnSchema(f"number_{i}", "number") for i in range(NUMERIC_COLUMNS)),
)


def make_table(path: Path, count: int) -> pa.Table:
    """Write a table and return it memory-mapped; the first category is the label."""
    fields = [(c.name, pa.string() if c.type == "category" else pa.float64()) for c in SCHEMA]
    rng = np.random.default_rng(0)
    with pa.ipc.new_file(path, pa.schema(fields)) as file:
        for start in range(0, count, CHUNK_SIZE):
            n = min(CHUNK_SIZE, count - start)
            codes = rng.integers(0, CATEGORIES, (CATEGORY_COLUMNS, n))
            codes[1:] = np.where(rng.random((CATEGORY_COLUMNS - 1, n)) < 0.5, codes[:1], codes[1:])
            mean = np.resize(codes, (NUMERIC_COLUMNS, n))
            numbers = np.round(mean + rng.lognormal(0, 0.5, (NUMERIC_COLUMNS, n)), 2)
            arrays = [pa.array([f"n{k}" for k in column.tolist()]) for column in codes]
            arrays += [pa.array(column) for column in numbers]
            file.write_batch(pa.record_batch(arrays, schema=pa.schema(fields)))
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000, help="Number of rows.")
    parser.add_argument("--steps", type=int, help="Number of steps. Default: that of the preset.")
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
        cpu_s = time.process_time() - started
    print(
        f"{arguments.rows:,} rows, at most {run.steps:,} steps: {run.peak_bytes / 1e9:.2f} GB of "
        f"anonymous memory, {cpu_s:.0f} CPU-s"
    )


if __name__ == "__main__":
    main()
