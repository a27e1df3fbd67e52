"""Measure the reading of a CSV file, type inference included: `python -m bench.reading`.

The program writes a table of numbers, categories, dates and ids, reads it as an upload with one
thread, and prints the CPU time and the peak memory of the reading process.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from core.datasets.source import SourceFile
from core.settings import Limits
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import SchemaOverrides

CHUNK_ROWS = 50_000
KINDS = ("integer", "decimal", "category", "date", "quoted")


def write_csv(path: Path, rows: int, columns: int) -> None:
    rng = np.random.default_rng(0)
    cities = [f"city {i}" for i in range(50)]
    first_day = np.datetime64("2000-01-01")
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(f"{KINDS[i % len(KINDS)]}_{i}" for i in range(columns)) + "\n")
        for start in range(0, rows, CHUNK_ROWS):
            count = min(CHUNK_ROWS, rows - start)
            texts: list[list[str]] = []
            for i in range(columns):
                kind = KINDS[i % len(KINDS)]
                if kind == "integer":
                    texts.append([str(v) for v in rng.integers(0, 100_000, count)])
                elif kind == "decimal":
                    texts.append([f"{v:.2f}" for v in rng.lognormal(3, 1, count)])
                elif kind == "date":
                    texts.append([str(first_day + int(v)) for v in rng.integers(0, 9_000, count)])
                else:
                    mark = '"' if kind == "quoted" else ""
                    texts.append([f"{mark}{cities[v]}{mark}" for v in rng.integers(0, 50, count)])
            file.writelines(",".join(row) + "\n" for row in zip(*texts, strict=True))


def read(path: Path, out: Path) -> None:
    pa.set_cpu_count(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    summary = read_table([SourceFile(path, path.name)], SchemaOverrides(), Limits(), out)
    cpu_s = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    types = {column.type for column in summary.schema.columns}
    print(f"{summary.rows:,} rows x {len(summary.schema.columns)} columns, {sorted(types)}")
    print(f"{path.stat().st_size / 1e6:,.0f} MB, {cpu_s:.1f} CPU-seconds")
    print(f"peak memory {peak / 1024:,.0f} MiB, of which imports {before / 1024:,.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="Number of rows.")
    parser.add_argument("--columns", type=int, default=20, help="Number of columns.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "table.csv", Path(folder) / "out"
        out.mkdir()
        write_csv(path, arguments.rows, arguments.columns)
        # Another process, because writing has already raised the peak of this one.
        process = multiprocessing.get_context("spawn").Process(target=read, args=(path, out))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
