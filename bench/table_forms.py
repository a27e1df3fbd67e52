"""Benchmark of forms: the same table with plain and with formed values, scored by a judge.

DATA, JUDGE and INTERPRETER are those of `bench.tables`. The rows of Adult get a date of birth. In
the variants, amounts have `$`, thousands marks and units, and dates have other forms. Each variant
is read as an upload, learned, sampled and written as CSV. Its samples are then translated back to
plain values, without code of the service, and scored. Equal samples are scored only once.
"""

import argparse
import csv
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from bench.images import DATA_HELP, JUDGE_HELP, commit
from bench.tables import ENVIRONMENT, INTERPRETER_HELP, Budget, Row, run_judge, split
from core.datasets.source import SourceFile
from core.limits import Limits
from modalities.tabular import encode
from modalities.tabular.typed_parquet import typed_batches
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from models.checkpoint import unpack
from models.tabular.budget import budget
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, resolve
from models.tabular.training import train

RESULTS = Path(__file__).with_name("results") / "table_forms.jsonl"
ADULT = Row("adult", "income", 24_000)
CENSUS_DAY = date(1994, 9, 1)

Writer = Callable[[str], str]
AMOUNTS: dict[str, Writer] = {
    "fnlwgt": lambda text: f"{int(text):,}",
    "education-num": lambda text: f"{int(text):+d}",
    "capital-gain": lambda text: f"${int(text):,}.00",
    "capital-loss": lambda text: f"(${int(text):,})" if int(text) else "$0",
    "hours-per-week": lambda text: f"{text} h",
}


def long_date(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day:%B} {day.day}, {day.year}"


def us_date(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day.month}/{day.day}/{day.year}"


VARIANTS: dict[str, dict[str, Writer]] = {
    "plain": {},
    "amounts, 3/7/1951": {**AMOUNTS, "birth": us_date},
    "amounts, March 7, 1951": {**AMOUNTS, "birth": long_date},
    "amounts, 19510307": {**AMOUNTS, "birth": lambda text: text.replace("-", "")},
}


def plain_number(text: str) -> str:
    is_negative = "(" in text
    digits = "".join(character for character in text if character.isdigit() or character in ".-")
    number = int(float(digits))
    return str(-number if is_negative else number)


def plain_date(text: str) -> str:
    for format in ("%Y-%m-%d", "%m/%d/%Y", "%B %d, %Y", "%Y%m%d"):
        try:
            return datetime.strptime(text, format).date().isoformat()  # noqa: DTZ007
        except ValueError:
            continue
    raise ValueError(f"{text!r} is not a date")


def add_birth(path: Path) -> None:
    """Add a date of birth, which the age and the weight of a row determine."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        days = int(365.25 * int(row["age"])) + int(row["fnlwgt"]) % 365
        row["birth"] = (CENSUS_DAY - timedelta(days)).isoformat()
    write_rows(path, rows)


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rewrite(source: Path, target: Path, writers: Mapping[str, Writer]) -> None:
    """Copy a CSV file with the values of some columns in another form."""
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name, write in writers.items():
            row[name] = write(row[name]) if row[name] else ""
    write_rows(target, rows)


def sample(upload: Path, folder: Path, seed: int) -> tuple[Path, dict[str, str | None]]:
    """Read, learn and sample a table; return the samples as CSV and the formats of its columns."""
    out = folder / "read"
    out.mkdir()
    source = SourceFile(upload, upload.name)
    summary = read_table([source], SchemaOverrides(target=ADULT.target), Limits(), out)
    columns = summary.schema.columns
    table = pa.Table.from_batches(list(typed_batches(out / "rows.parquet", columns)))
    schema = [ColumnSchema.from_dict(column.to_dict()) for column in columns]
    types = {column.name: column.type for column in schema}
    classes = [name for name, type_ in types.items() if type_ == "category"]
    data = TableData(len(table), len(types), len(classes), ADULT.target in classes)
    settings = resolve(data, "fast", {})
    run = Budget(budget(data, settings, "fast")["steps"])
    rows = LabeledRows.split(
        table, schema, target_column=ADULT.target, holdout_fraction=0.1, seed=seed
    )
    train(rows, settings, run, seed=seed)
    assert run.saved is not None  # noqa: S101 - every run ends with a save
    (folder / "model").write_bytes(run.saved.model)
    sampler = TableSampler.load(*unpack(folder / "model"))
    samples = sampler.sample(seed + 1_000, np.arange(len(table)))
    path = folder / "samples.csv"
    path.write_bytes(b"".join(encode.encode("csv", iter([samples.rows]), list(columns), {})))
    return path, {column.name: column.format for column in columns if column.format}


def run_seed(arguments: argparse.Namespace, seed: int) -> None:
    scores: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        train_file, test_file = split(ADULT, arguments.data, folder)
        add_birth(train_file)
        add_birth(test_file)
        readers = dict.fromkeys(AMOUNTS, plain_number) | {"birth": plain_date}
        # The variants write a loss as an amount in brackets, which is a negative number.
        readers["capital-loss"] = lambda text: plain_number(text).lstrip("-")
        for variant, writers in VARIANTS.items():
            work = Path(tempfile.mkdtemp(dir=folder))
            rewrite(train_file, work / "upload.csv", writers)
            samples, formats = sample(work / "upload.csv", work, seed)
            rewrite(samples, work / "plain.csv", readers)
            digest = hashlib.sha256((work / "plain.csv").read_bytes()).hexdigest()
            if digest not in scores:
                scores[digest] = run_judge(
                    ADULT, arguments, train_file, test_file, work / "plain.csv"
                )
            result = {"variant": variant, "seed": seed, "commit": commit(), "sha256": digest}
            result |= {"formats": formats, **scores[digest]}
            with RESULTS.open("a") as out:
                out.write(json.dumps(result) + "\n")
            judged = scores[digest]
            shown = (judged["told_apart"], judged["two_way_tv"], judged["utility"]["auc"])
            print(seed, variant, digest[:12], *(f"{score:.4f}" for score in shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", type=Path, required=True, help=JUDGE_HELP)
    parser.add_argument("--data", type=Path, required=True, help=DATA_HELP)
    parser.add_argument("--interpreter", default=sys.executable, help=INTERPRETER_HELP)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # The libraries read these variables when the process starts.
        command = [sys.executable, "-m", "bench.table_forms", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ENVIRONMENT})  # noqa: S606
    torch.set_num_threads(1)
    RESULTS.parent.mkdir(exist_ok=True)
    for seed in arguments.seeds:
        run_seed(arguments, seed)


if __name__ == "__main__":
    main()
