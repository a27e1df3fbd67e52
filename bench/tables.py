"""Benchmark of tabular models, scored by an independent judge.

DATA is a folder with the tables as CSV files. JUDGE is a program that takes `--train T.csv --test
H.csv --synthetic S.csv --target COLUMN` and prints its scores as JSON. INTERPRETER is the Python
that runs it, so the judge may need other packages than the service.

Rows are permuted by numpy's `default_rng(7)`; the first part is the training data, and the rest is
the test data, which training never sees. The judge is not used in training. Training runs on one
core; its CPU time is measured from the table in memory to the saved model.
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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import torch

from bench.images import DATA_HELP, JUDGE_HELP, commit
from bench.judge_spread import render_spread
from bench.table_peers import render_peers
from core.supervisor import ALLOCATOR
from models.checkpoint import unpack
from models.metrics.tabular import evaluation as tabular_evaluation
from models.tabular.budget import budget
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema, ColumnType
from models.tabular.settings import TableData, resolve
from models.tabular.training import train
from models.training_callbacks import PackedCheckpoint

RESULTS = Path(__file__).with_name("results") / "tables.jsonl"
FIGURES = Path(__file__).with_name("tables.md")
ENVIRONMENT = {**ALLOCATOR, "OMP_NUM_THREADS": "1"}
INTERPRETER_HELP = "Python that runs the judge. Default: this one."


@dataclass(frozen=True)
class Row:
    """A training with one table and one architecture."""

    name: str
    target: str
    train: int | float = 0.8  # number of training rows, or their fraction
    drop: tuple[str, ...] = ()
    architecture: str = "autoregressive"
    random_order_prob: float = 0.0
    relations: bool = True

    @property
    def title(self) -> str:
        variant = "any order" if self.random_order_prob else self.architecture
        if not self.relations:
            variant = "relations off"
        return self.name if variant == "autoregressive" else f"{self.name}, {variant}"


ROWS = [
    Row("adult", "income", 24_000),
    Row("adult", "income", 24_000, architecture="gan"),
    Row("adult", "income", 24_000, random_order_prob=0.5),
    Row("adult", "income", 24_000, relations=False),
    Row("credit_default", "has_default"),
    Row("california_housing", "median_house_value"),
    Row("mushroom", "type"),
    Row("telco_churn", "Churn", drop=("customerID",)),
    Row("concrete", "strength"),
    Row("batting", "league"),
    Row("batting", "league", relations=False),
    # Of the collection Rdatasets: modeldata, ISLR and MASS.
    Row("mlc_churn", "churn", drop=("rownames",)),
    Row("OJ", "Purchase", drop=("rownames",)),
    Row("Carseats", "Sales", drop=("rownames",)),
    Row("Boston", "medv", drop=("rownames",)),
    Row("f01_orders", "city"),
    Row("f01_orders", "city", relations=False),
]


@dataclass
class Budget:
    """Training callbacks that end after `steps` steps and keep the last checkpoint."""

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

    def warn(self, _: int, message: str, _code: str | None = None) -> None:
        print(message, file=sys.stderr)

    def preview(self, *_: Any) -> None:
        """Ignore the preview; rendering it is part of the training time."""


def split(row: Row, data: Path, folder: Path) -> tuple[Path, Path]:
    """Write the training and the test rows to CSV files and return their paths."""
    with (data / f"{row.name}.csv").open(newline="") as file:
        header, *lines = csv.reader(file, skipinitialspace=True)
    order = np.random.default_rng(7).permutation(len(lines))
    n = row.train if isinstance(row.train, int) else int(row.train * len(lines))
    paths = folder / "train.csv", folder / "test.csv"
    for path, indices in zip(paths, (order[:n], order[n:]), strict=True):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *(lines[i] for i in indices)])
    return paths


def read(path: Path, drop: tuple[str, ...]) -> tuple[pa.Table, list[ColumnSchema]]:
    """Return the table and its schema; each column gets the first type that fits all its values."""
    with path.open(newline="") as file:
        names = next(csv.reader(file))
    options = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    texts = pa.csv.read_csv(path, convert_options=options)
    columns, schema = [], []
    types: tuple[tuple[ColumnType, pa.DataType], ...] = (
        ("integer", pa.int64()),
        ("number", pa.float64()),
        ("datetime", pa.timestamp("s")),
        ("category", pa.string()),
    )
    for name in names:
        text = pa.compute.utf8_trim_whitespace(texts[name])
        text = pa.compute.if_else(pa.compute.equal(text, ""), None, text)
        for column_type, arrow_type in types:
            try:
                columns.append(text.cast(arrow_type))
            except pa.ArrowInvalid:
                continue
            column_type = "id" if name in drop else column_type
            schema.append(ColumnSchema(name, column_type, nullable=True))
            break
    return pa.table(columns, names=names), schema


def run_benchmark(row: Row, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        train_file, test_file = split(row, arguments.data, folder)
        table, schema = read(train_file, row.drop)
        types = {column.name: column.type for column in schema if column.type != "id"}
        classes = [name for name, type_ in types.items() if type_ == "category"]
        data = TableData(len(table), len(types), len(classes), row.target in classes)
        settings = resolve(
            data,
            arguments.preset,
            {
                "architecture": row.architecture,
                "random_order_prob": row.random_order_prob,
                "relations": row.relations,
            },
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
        samples = sampler.sample(seed + 1_000, np.arange(len(table)))
        sampling_s = time.process_time() - started
        synthetic_file = folder / "synthetic.csv"
        pa.csv.write_csv(samples.rows, synthetic_file, pa.csv.WriteOptions(quoting_style="needed"))
        scores = run_judge(row, arguments, train_file, test_file, synthetic_file)
        if "auc" in scores["utility"]:
            scores["rarer_label"] = rare_label_speed(sampler, row.target, table[row.target])
        if "r2" in scores["utility"]:
            test = read(test_file, row.drop)[0].cast(table.schema)
            scores["r2"] = r2_with_interval(row, schema, table, test, samples.rows)
    return {
        "row": row.title,
        "seed": seed,
        "commit": commit(),
        "preset": arguments.preset,
        "busy_machine": arguments.busy_machine,
        "fit_cpu_s": round(fit_s, 2),
        "rows_per_s": round(len(table) / sampling_s),
        "acceptance": round(samples.acceptance_rate, 3),
        "steps": run.step,
        "parameters": run.saved.parameters,
        "metrics": run.metrics,
        **scores,
    }


def rare_label_speed(sampler: TableSampler, target: str, labels: pa.ChunkedArray) -> dict[str, Any]:
    """Compare the CPU time of 1,000 rows of the rarer label with that of 1,000 unconditional rows.

    Both are the minimum of 20 runs.
    """
    counts = sorted(labels.value_counts().to_pylist(), key=lambda pair: pair["counts"])
    label = counts[0]["values"]
    indices, seconds = np.arange(1_000), {"unconditional": math.inf, "conditional": math.inf}
    for seed in range(20):
        for name, condition in (("unconditional", {}), ("conditional", {target: label})):
            started = time.process_time()
            samples = sampler.sample(seed, indices, condition)
            seconds[name] = min(seconds[name], time.process_time() - started)
    matches = pyarrow.compute.equal(samples.rows.column(target), label).to_pylist()
    ratio = seconds["conditional"] / seconds["unconditional"]
    return {"ratio": round(ratio, 3), "rows": sum(matches), "acceptance": samples.acceptance_rate}


def r2_with_interval(
    row: Row, schema: list[ColumnSchema], table: pa.Table, test: pa.Table, synthetic: pa.RecordBatch
) -> dict[str, Any]:
    """Return the service's own TSTR score: unlike the judge's, it has a confidence interval."""
    train_and_test = pa.concat_tables([table, test])
    train_indices, test_indices = np.split(np.arange(len(train_and_test)), [len(table)])
    data = LabeledRows(train_and_test, tuple(schema), row.target, train_indices, test_indices)
    evaluation = tabular_evaluation.evaluate(
        data, pa.Table.from_batches([synthetic]), seed=1, check_stop=lambda: None
    )
    return next(score.to_dict() for score in evaluation.scores if score.name == "tstr_score")


def run_judge(
    row: Row, arguments: argparse.Namespace, train: Path, test: Path, synthetic: Path
) -> dict[str, Any]:
    """Return the judge's scores of synthetic rows; `…_ceiling` are those of the training rows."""
    command = [arguments.interpreter, arguments.judge, "--target", row.target]
    command += ["--train", train, "--test", test, "--synthetic", synthetic]
    for name in row.drop:
        command += ["--drop", name]
    done = subprocess.run([*map(str, command)], capture_output=True, check=True)
    scores: dict[str, Any] = json.loads(done.stdout)
    return scores


def tstr_score(scores: dict[str, float]) -> float:
    """Return the TSTR score in the judge's `utility`: R² of a number, AUC of two classes, or F1."""
    return next(scores[name] for name in ("r2", "auc", "macro_f1") if name in scores)


def relation_scores(result: dict[str, Any]) -> list[str]:
    """Return the scores of relations, which results of the judge's first version lack."""
    if "global_utility" not in result:
        return ["", "", "", "", ""]
    return [
        f"{result['told_apart_by_relations']:.3f}",
        f"{result['told_apart_by_relations_ceiling']:.3f}",
        f"{max(result['relations_broken'].values(), default=0.0):.4f}",
        f"{result['global_utility']:.3f}",
        f"{result['global_utility_ceiling']:.3f}",
    ]


def median(values: Sequence[str]) -> str:
    """Return the lower median of formatted numbers, some of which may be empty."""
    numbers = sorted((value for value in values if value), key=float)
    return numbers[(len(numbers) - 1) // 2] if numbers else ""


def render_markdown(results: list[dict[str, Any]]) -> str:
    """Return the page with medians over the newest result of each seed."""
    newest = {(result["row"], result["seed"]): result for result in results}
    of_rows = {
        row.title: [run for (title, _), run in newest.items() if title == row.title] for row in ROWS
    }
    on_busy = [
        title for title, runs in of_rows.items() if any(run.get("busy_machine") for run in runs)
    ]
    busy = (
        f"CPU-s and rows/s of {', '.join(on_busy)} were measured on a machine that other processes "
        "also used, at least in a part of the time. "
        if on_busy
        else ""
    )
    lines = [
        "# Tables, scored by an independent judge",
        "",
        f"Medians over seeds. {busy}`python -m bench.tables` writes this page; "
        "`results/tables.jsonl` has each run.",
        "",
        "- TSTR: AUC (R² for a number) of boosted trees that are trained on synthetic rows and "
        "tested on real ones.",
        "- Detection AUC: AUC of boosted trees that separate synthetic from held-out rows; .5 is "
        "the best.",
        "- By relations: the same with differences and ratios of related columns in sight.",
        "- Broken: the largest fraction of samples that break an order or a sum that all training "
        "rows satisfy.",
        "- Global utility: score of predicting each column from the others, trained on synthetic "
        "rows (TabStruct, 2509.11950).",
        "- Pairwise TVD: total variation distance of pairs of columns to those of held-out rows; 0 "
        "is the best.",
        "- Real: the figure before it, for the real training rows.",
        "- DCR share: fraction of synthetic rows whose nearest real row is a training row, not a "
        "held-out one; .5 means that nothing is memorized.",
        "- Exact matches: fraction of synthetic rows that equal a training row; next to it the "
        "fraction to expect by chance, and that of held-out rows.",
        "",
        "| table | seeds | training, CPU-s | rows/s | TSTR | real | detection AUC | real "
        "| by relations | real | broken | global utility | real "
        "| pairwise TVD | real | DCR share | exact matches | expected | held-out rows |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    r2_intervals: list[str] = []
    rare_label_ratios: list[str] = []
    for title, runs in of_rows.items():
        if not runs:
            continue
        values = [
            [
                f"{result['fit_cpu_s']:.1f}",
                f"{result['rows_per_s']}",
                f"{tstr_score(result['utility']):.3f}",
                f"{tstr_score(result['utility_ceiling']):.3f}",
                f"{result['told_apart']:.3f}",
                f"{result['told_apart_ceiling']:.3f}",
                *relation_scores(result),
                f"{result['two_way_tv']:.4f}",
                f"{result['ceiling']['two_way_tv']:.4f}",
                f"{result['dcr_share']:.3f}",
                f"{result['exact_copies']:.5f}",
                f"{result['exact_copies_expected']:.5f}",
                f"{result['exact_copies_of_held_out']:.5f}",
            ]
            for result in runs
        ]
        medians = [median(column) for column in zip(*values, strict=True)]
        lines.append(f"| {title} | {len(runs)} | {' | '.join(medians)} |")
        if ratios := sorted(run["rarer_label"]["ratio"] for run in runs if "rarer_label" in run):
            rare_label_ratios.append(f"{title} {ratios[(len(ratios) - 1) // 2]:.2f}")
        r2_intervals += [
            f"{title} {r2['value']:.3f} ({r2['ci95'][0]:.3f} to {r2['ci95'][1]:.3f}; real "
            f"{r2['real_reference']:.3f})"
            for r2 in (run["r2"] for run in runs if "r2" in run)
        ]
    if rare_label_ratios:
        text = "CPU time of 1,000 rows of the rarer label, relative to 1,000 unconditional rows: "
        lines += ["", text + ", ".join(rare_label_ratios) + "."]
    if r2_intervals:
        text = "R² with a bootstrap interval over held-out rows, by the service's own evaluation: "
        lines += ["", text + ", ".join(r2_intervals) + "."]
    return "\n".join([*lines, *render_peers(), *render_spread()]) + "\n"


def write_figures() -> None:
    FIGURES.write_text(render_markdown([json.loads(line) for line in RESULTS.open()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", type=Path, required=True, help=JUDGE_HELP)
    parser.add_argument("--data", type=Path, required=True, help=DATA_HELP)
    parser.add_argument("--interpreter", default=sys.executable, help=INTERPRETER_HELP)
    titles = [row.title for row in ROWS]
    help_text = f"Rows to run. Default: all ({'; '.join(titles)})."
    parser.add_argument("--rows", nargs="+", default=titles, help=help_text)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--preset", default="fast")
    help_text = "Other processes use this machine during the runs. The page then says so."
    parser.add_argument("--busy-machine", action="store_true", help=help_text)
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # The libraries read these variables when the process starts.
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
    write_figures()


if __name__ == "__main__":
    main()
