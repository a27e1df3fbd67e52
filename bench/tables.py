"""How good table rows are, by an independent judge.

DATA is a folder with the tables as csv; JUDGE a program that takes `--train T.csv --test H.csv
--synthetic S.csv --target COLUMN` and prints its scores as JSON, started by the Python given as
INTERPRETER (its packages need not be ours). Rows are permuted by numpy's `default_rng(7)` and the
first part is trained on; the judge never sees training, and training never sees the held-out part.
One core; CPU-seconds of the process, from the table in memory to the saved model.
"""

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import torch

from bench.images import commit
from core.supervisor import ALLOCATOR
from models.checkpoint import unpack
from models.metrics import tabular_evaluation as measures
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema, ColumnType
from models.tabular.settings import TableData, budget, resolve
from models.tabular.training import train
from models.training_callbacks import PackedCheckpoint

RESULTS = Path(__file__).with_name("results") / "tables.jsonl"
FIGURES = Path(__file__).with_name("tables.md")
ENVIRONMENT = {**ALLOCATOR, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Row:
    """One table."""

    name: str
    target: str
    train: int | float = 0.8  # rows, or their share
    drop: tuple[str, ...] = ()
    architecture: str = "autoregressive"
    random_order_prob: float = 0.0

    @property
    def title(self) -> str:
        other = "any order" if self.random_order_prob else self.architecture
        return self.name if other == "autoregressive" else f"{self.name}, {other}"


ROWS = [
    Row("adult", "income", 24_000),
    Row("adult", "income", 24_000, architecture="gan"),
    Row("adult", "income", 24_000, random_order_prob=0.5),
    Row("credit_default", "has_default"),
    Row("california_housing", "median_house_value"),
    Row("mushroom", "type"),
    Row("telco_churn", "Churn", drop=("customerID",)),
    Row("concrete", "strength"),
]


@dataclass
class Budget:
    """A run of so many steps."""

    steps: float
    metrics: dict[str, float] = field(default_factory=dict)
    saved: PackedCheckpoint | None = None
    step: int = 0

    def progress(self, step: int) -> float:
        return min(1.0, step / self.steps)

    def should_checkpoint(self, _: int) -> bool:
        return False

    def should_preview(self, _: int) -> bool:
        return False

    def report(self, _: int, metrics: dict[str, float]) -> None:
        self.metrics |= metrics

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None:
        self.step, self.saved = step, checkpoint

    def warn(self, _: int, message: str) -> None:
        print(message, file=sys.stderr)

    def preview(self, *_: Any) -> None:
        """Pictures are part of a run, and of what it costs."""


def split(row: Row, data: Path, folder: Path) -> tuple[Path, Path]:
    """The two parts as files."""
    with (data / f"{row.name}.csv").open(newline="") as file:
        header, *lines = csv.reader(file, skipinitialspace=True)
    order = np.random.default_rng(7).permutation(len(lines))
    n = row.train if isinstance(row.train, int) else int(row.train * len(lines))
    paths = folder / "train.csv", folder / "test.csv"
    for path, part in zip(paths, (order[:n], order[n:]), strict=True):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *(lines[i] for i in part)])
    return paths


def read(path: Path, drop: tuple[str, ...]) -> tuple[pa.Table, list[ColumnSchema]]:
    """Integers, numbers and names, whichever fits first."""
    with path.open(newline="") as file:
        names = next(csv.reader(file))
    options = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    texts = pa.csv.read_csv(path, convert_options=options)
    columns, schema = [], []
    kinds: tuple[tuple[ColumnType, pa.DataType], ...] = (
        ("integer", pa.int64()),
        ("number", pa.float64()),
        ("category", pa.string()),
    )
    for name in names:
        text = pa.compute.utf8_trim_whitespace(texts[name])
        text = pa.compute.if_else(pa.compute.equal(text, ""), None, text)
        for kind, arrow in kinds:
            try:
                columns.append(text.cast(arrow))
            except pa.ArrowInvalid:
                continue
            schema.append(ColumnSchema(name, "id" if name in drop else kind, nullable=True))
            break
    return pa.table(columns, names=names), schema


def run_benchmark(row: Row, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        train_file, test_file = split(row, arguments.data, folder)
        table, schema = read(train_file, row.drop)
        learned = [column.type for column in schema if column.type != "id"]
        data = TableData(len(table), len(learned), learned.count("category"))
        settings = resolve(
            data,
            arguments.preset,
            {"architecture": row.architecture, "random_order_prob": row.random_order_prob},
        )
        run = Budget(budget(data, settings, arguments.preset)["steps"])
        started = time.process_time()
        rows = LabeledRows.split(
            table, schema, target_column=row.target, holdout_fraction=0.1, seed=seed
        )
        train(rows, settings, run, seed=seed)
        fit_s = time.process_time() - started
        assert run.saved is not None  # noqa: S101 - every run ends with a save
        (folder / "model").write_bytes(run.saved.model)
        sampler = TableSampler.load(*unpack(folder / "model"))
        started = time.process_time()
        drawn = sampler.sample(seed + 1_000, np.arange(len(table)))
        draw_s = time.process_time() - started
        made = folder / "made.csv"
        pa.csv.write_csv(drawn.rows, made, pa.csv.WriteOptions(quoting_style="needed"))
        judged = run_judge(row, arguments, train_file, test_file, made)
        if "auc" in judged["utility"]:
            judged["rarer_label"] = rare_label_speed(sampler, row.target, table[row.target])
        if "r2" in judged["utility"]:
            held_out = read(test_file, row.drop)[0].cast(table.schema)
            judged["r2"] = r2_with_interval(row, schema, table, held_out, drawn.rows)
    return {
        "row": row.title,
        "seed": seed,
        "commit": commit(),
        "preset": arguments.preset,
        "fit_cpu_s": round(fit_s, 2),
        "rows_per_s": round(len(table) / draw_s),
        "acceptance": round(drawn.acceptance_rate, 3),
        "steps": run.step,
        "parameters": run.saved.parameters,
        "metrics": run.metrics,
        **judged,
    }


def rare_label_speed(sampler: TableSampler, target: str, labels: pa.ChunkedArray) -> dict[str, Any]:
    """1,000 rows of the rarer label beside 1,000 free ones: CPU time, each the least of many."""
    counted = sorted(labels.value_counts().to_pylist(), key=lambda pair: pair["counts"])
    label = counted[0]["values"]
    items, seconds = np.arange(1_000), {"free": math.inf, "asked": math.inf}
    for seed in range(20):
        for name, given in (("free", {}), ("asked", {target: label})):
            started = time.process_time()
            drawn = sampler.sample(seed, items, given)
            seconds[name] = min(seconds[name], time.process_time() - started)
    met = pyarrow.compute.equal(drawn.rows.column(target), label).to_pylist()
    ratio = seconds["asked"] / seconds["free"]
    return {"ratio": round(ratio, 3), "rows": sum(met), "acceptance": drawn.acceptance_rate}


def r2_with_interval(
    row: Row, schema: list[ColumnSchema], table: pa.Table, held_out: pa.Table, made: pa.RecordBatch
) -> dict[str, Any]:
    """The judge's R² has no interval, the service's own measure has one."""
    both = pa.concat_tables([table, held_out])
    n = len(table)
    data = LabeledRows(both, tuple(schema), row.target, np.arange(n), np.arange(n, len(both)))
    found = measures.evaluate(data, pa.Table.from_batches([made]), seed=1, check_stop=lambda: None)
    return next(score.to_dict() for score in found.scores if score.name == "tstr_score")


def run_judge(
    row: Row, arguments: argparse.Namespace, train: Path, test: Path, synthetic: Path
) -> dict[str, Any]:
    command = [arguments.interpreter, arguments.judge, "--target", row.target]
    command += ["--train", train, "--test", test, "--synthetic", synthetic]
    for name in row.drop:
        command += ["--drop", name]
    done = subprocess.run([*map(str, command)], capture_output=True, check=True)
    scores: dict[str, Any] = json.loads(done.stdout)
    return scores


def tstr_score(scores: dict[str, float]) -> float:
    """Of a model that is trained on the rows: R² of a number, AUC of two classes."""
    return next(scores[name] for name in ("r2", "auc", "macro_f1") if name in scores)


def render_markdown(results: list[dict[str, Any]]) -> str:
    """Medians over the newest result of each seed, as a table."""
    lines = [
        "# Table rows, by the judge",
        "",
        "Medians over seeds; `python -m bench.tables` makes them, `results/tables.jsonl` has each "
        "run. Utility is the AUC (or R², for a number) of boosted trees that are trained on made "
        "rows and tested on real ones; told apart is the AUC of boosted trees that tell made rows "
        "from held-out ones, .5 at best. Beside both is what the real training rows reach.",
        "",
        "| table | seeds | fit, CPU-s | rows/s | utility | real | told apart | real | pairs, TV "
        "| real | nearest is a training row | copies | expected | held out |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    told: list[str] = []
    took: list[str] = []
    for row in ROWS:
        newest = {result["seed"]: result for result in results if result["row"] == row.title}
        mine = list(newest.values())
        if not mine:
            continue
        values = [
            [
                f"{result['fit_cpu_s']:.1f}",
                f"{result['rows_per_s']}",
                f"{tstr_score(result['utility']):.3f}",
                f"{tstr_score(result['utility_ceiling']):.3f}",
                f"{result['told_apart']:.3f}",
                f"{result['told_apart_ceiling']:.3f}",
                f"{result['two_way_tv']:.4f}",
                f"{result['ceiling']['two_way_tv']:.4f}",
                f"{result['dcr_share']:.3f}",
                f"{result['exact_copies']:.5f}",
                f"{result['exact_copies_expected']:.5f}",
                f"{result['exact_copies_of_held_out']:.5f}",
            ]
            for result in mine
        ]
        columns = (sorted(column, key=float) for column in zip(*values, strict=True))
        medians = [column[(len(column) - 1) // 2] for column in columns]
        lines.append(f"| {row.title} | {len(mine)} | {' | '.join(medians)} |")
        if asked := [result["rarer_label"] for result in mine if "rarer_label" in result]:
            ratio = sorted(found["ratio"] for found in asked)[(len(asked) - 1) // 2]
            took.append(f"{row.title} {ratio:.2f}")
        told += [
            f"{row.title} {r2['value']:.3f} ({r2['ci95'][0]:.3f} to {r2['ci95'][1]:.3f}; real "
            f"{r2['real_reference']:.3f})"
            for r2 in (result["r2"] for result in mine if "r2" in result)
        ]
    if took:
        about = "1,000 rows of the rarer label, in the time that as many free ones take: "
        lines += ["", about + ", ".join(took) + "."]
    if told:
        about = "R² with a bootstrap interval over held-out rows, by the service's own measure: "
        lines += ["", about + ", ".join(told) + "."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--interpreter", default=sys.executable)
    parser.add_argument("--rows", nargs="+", default=[row.title for row in ROWS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--preset", default="fast")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # Both are read when a process starts.
        command = [sys.executable, "-m", "bench.tables", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ENVIRONMENT})  # noqa: S606
    torch.set_num_threads(1)
    RESULTS.parent.mkdir(exist_ok=True)
    for row in ROWS:
        for seed in arguments.seeds if row.title in arguments.rows else []:
            result = run_benchmark(row, arguments, seed)
            with RESULTS.open("a") as out:
                out.write(json.dumps(result) + "\n")
            shown = ("row", "seed", "fit_cpu_s", "rows_per_s", "utility", "told_apart")
            print({name: result[name] for name in shown}, flush=True)
    FIGURES.write_text(render_markdown([json.loads(line) for line in RESULTS.open()]))


if __name__ == "__main__":
    main()
