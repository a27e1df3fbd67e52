"""Measure the reading of a CSV file, type inference included: `python -m bench.reading`.

The program writes a table of numbers, categories, dates and ids, reads it as an upload with one
thread, and prints the CPU time and the peak memory of the reading process. With `--formed`, all
columns are amounts, dates, times and durations in other forms than the plain ones.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from core.datasets.source import SourceFile
from core.limits import Limits
from modalities.tabular.formatting import format_values
from modalities.tabular.schema import Column
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import SchemaOverrides

CHUNK_ROWS = 50_000
KINDS = ("integer", "decimal", "category", "date", "quoted")
# Amounts and times of `--formed`, most of them different in each row.
FORMED = (
    Column("amount", "number", format="$#,##0.00"),
    Column("us_date", "datetime", format="%-m/%-d/%Y"),
    Column("share", "number", format="0.0%"),
    Column("duration", "duration", format="[h]:mm:ss"),
    Column("betrag", "number", format="#.##0,00 €"),
    Column("long_date", "datetime", format="%B %-d, %Y"),
    Column("profit", "number", format="$#,##0.00;($#,##0.00)"),
    Column("us_time", "datetime", format="%-m/%-d/%Y %-I:%M:%S %p"),
    Column("population", "integer", decimals=0, format="#,##0"),
    Column("day_time", "time", format="%-I:%M %p"),
    Column("p_value", "number", format="0.000e+00"),
    Column("mail_time", "datetime", format="%a, %d %b %Y %H:%M:%S +0000"),
    Column("change", "integer", decimals=0, format="+0;-0;0"),
    Column("timedelta", "duration", format="d days hh:mm:ss"),
    Column("weight", "number", format="0.## kg"),
    Column("zoned", "datetime", format="%Y-%m-%dT%H:%M:%S+01:00"),
    Column("quarter", "datetime", format="%YQ%q"),
    Column("compact", "datetime", format="%Y%m%d%H%M%S"),
    Column("iso_duration", "duration", format="PT"),
    Column("log_time", "datetime", format="%d/%b/%Y:%H:%M:%S -0700"),
)


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


def write_formed_csv(path: Path, rows: int, columns: int) -> None:
    rng = np.random.default_rng(0)
    chosen = [FORMED[i % len(FORMED)] for i in range(columns)]
    schema = pa.schema([(f"{column.name}_{i}", pa.string()) for i, column in enumerate(chosen)])
    with pyarrow.csv.CSVWriter(path, schema) as writer:
        for start in range(0, rows, CHUNK_ROWS):
            count = min(CHUNK_ROWS, rows - start)
            arrays = [format_values(formed_values(column, rng, count), column) for column in chosen]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def formed_values(column: Column, rng: np.random.Generator, count: int) -> pa.Array:
    if column.type in ("number", "integer"):
        numbers = np.round(rng.lognormal(7, 2, count) * rng.choice([-1, 1], count), 2)
        values = pa.array(np.exp(-abs(numbers) / 1000) if column.name == "p_value" else numbers)
        return values.cast(pa.int64(), safe=False) if column.type == "integer" else values
    if column.type == "datetime":
        seconds = rng.integers(946_684_800, 1_700_000_000, count)
        return pa.array(1_000_000 * seconds).cast(pa.timestamp("us"))
    seconds = rng.integers(0, 86_400 if column.type == "time" else 500_000, count)
    type_ = pa.time64("us") if column.type == "time" else pa.duration("us")
    return pc.cast(pa.array(1_000_000 * seconds), type_)


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
    parser.add_argument("--formed", action="store_true", help="Write amounts and times in forms.")
    arguments = parser.parse_args()
    write = write_formed_csv if arguments.formed else write_csv
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "table.csv", Path(folder) / "out"
        out.mkdir()
        write(path, arguments.rows, arguments.columns)
        # Another process, because writing has already raised the peak of this one.
        process = multiprocessing.get_context("spawn").Process(target=read, args=(path, out))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
