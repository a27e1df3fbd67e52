"""Benchmark of differential privacy: its cost, and the success of a membership inference attack.

The table is Adult, judged as in `bench.tables`. The attack guesses that a row was in the training
data if a synthetic row is near. Its AUC is measured over as many training rows as other rows; .5
means that the attack learns nothing. The distance of two rows is the number of categories that
differ plus the differences of the ranks of numbers.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from numpy.typing import NDArray

from bench.images import DATA_HELP, JUDGE_HELP, commit
from bench.tables import (
    ENVIRONMENT,
    INTERPRETER_HELP,
    ROWS,
    Budget,
    read,
    run_judge,
    split,
    tstr_score,
)
from models.checkpoint import unpack
from models.metrics.critic import critic_accuracy
from models.tabular.budget import budget
from models.tabular.data import LabeledRows
from models.tabular.differential_privacy import domains as dp_domains
from models.tabular.differential_privacy import training as dp_training
from models.tabular.differential_privacy.accountant import PrivacyBudget
from models.tabular.sampling import TableSampler
from models.tabular.settings import TableData, resolve
from models.tabular.training import train

RESULTS = Path(__file__).with_name("results") / "privacy.jsonl"
FIGURES = Path(__file__).with_name("privacy.md")
ADULT = ROWS[0]
DELTA = 1e-5
ATTACKED_ROWS = 1_000  # number of members, and of non-members
# Domains of the numeric columns, from the documentation of the table.
NUMBERS: dict[str, dict[str, Any]] = {
    "age": {"min": 17, "max": 90},
    "fnlwgt": {"min": 10_000, "max": 1_500_000},
    "education-num": {"min": 1, "max": 16},
    "capital-gain": {"min": 0, "max": 99_999, "values": [0, 99_999]},
    "capital-loss": {"min": 0, "max": 4_999, "values": [0]},
    "hours-per-week": {"min": 1, "max": 99},
}


def column_domains(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Return the domain of each column from public knowledge.

    The values of the categories are those of the whole table, which its documentation lists too.
    """
    return {
        name: NUMBERS.get(name) or {"values": table.column(name).unique().drop_null().to_pylist()}
        for name in table.schema.names
    }


def run_benchmark(
    epsilon: float | None, arguments: argparse.Namespace, seed: int
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        train_file, test_file = split(ADULT, arguments.data, folder)
        table, schema = read(train_file, ())
        test, _ = read(test_file, ())
        categories = sum(column.type == "category" for column in schema)
        data = TableData(len(table), len(schema), categories)
        is_private = epsilon is not None
        settings = resolve(data, "fast", {}, differential_privacy=is_private)
        run = Budget(budget(data, settings, "fast", differential_privacy=is_private)["steps"])
        if is_private and arguments.steps is not None:
            run = Budget(arguments.steps)
        holdout_fraction = 0.0 if is_private else 0.1
        rows = LabeledRows.split(
            table, schema, target_column=ADULT.target, holdout_fraction=holdout_fraction, seed=seed
        )
        started = time.process_time()
        if epsilon is None:
            train(rows, settings, run, seed=seed)
        else:
            domains = dp_domains.parse_domains(
                column_domains(pa.concat_tables([table, test])), {c.name: c.type for c in schema}
            )
            privacy = PrivacyBudget(epsilon, DELTA, int(run.steps))
            dp_training.train(rows, domains, settings, privacy, run, seed=seed)
        fit_s = time.process_time() - started
        assert run.saved is not None  # noqa: S101 - every run ends with a save
        (folder / "model").write_bytes(run.saved.model)
        sampler = TableSampler.load(*unpack(folder / "model"))
        synthetic = sampler.sample(seed + 1_000, np.arange(len(table))).rows
        synthetic_file = folder / "synthetic.csv"
        pa.csv.write_csv(synthetic, synthetic_file, pa.csv.WriteOptions(quoting_style="needed"))
        scores = run_judge(ADULT, arguments, train_file, test_file, synthetic_file)
        members = table.take(pa.array(rows.train[:ATTACKED_ROWS]))
        non_members = test.slice(0, ATTACKED_ROWS)
        attack = attack_auc(pa.Table.from_batches([synthetic]), members, non_members)
    return {
        "epsilon": epsilon,
        "seed": seed,
        "commit": commit(),
        "fit_cpu_s": round(fit_s, 1),
        "steps": run.step,
        "attack_auc": round(attack, 4),
        **scores,
    }


def attack_auc(synthetic: pa.Table, members: pa.Table, non_members: pa.Table) -> float:
    """Return the AUC of guessing that the rows nearest to a synthetic row are members."""
    distances = [_nearest_distance(rows, synthetic) for rows in (members, non_members)]
    return critic_accuracy(*(-torch.from_numpy(distance) for distance in distances)).auc


def _nearest_distance(rows: pa.Table, synthetic: pa.Table) -> NDArray[np.float64]:
    """Return the distance of each of N rows to its nearest synthetic row, (N,)."""
    nearest = np.full(len(rows), np.inf)
    columns = [
        _encode_column(rows.column(name), synthetic.column(name)) for name in synthetic.schema.names
    ]
    for start in range(0, len(synthetic), 2_000):
        chunk = slice(start, start + 2_000)
        distance = np.zeros((len(rows), len(synthetic.slice(start, 2_000))))
        for row_codes, synthetic_codes, is_number in columns:
            difference = row_codes[:, None] - synthetic_codes[None, chunk]
            distance += np.abs(difference) if is_number else difference != 0
        nearest = np.minimum(nearest, distance.min(1))
    return nearest


def _encode_column(
    values: pa.ChunkedArray, synthetic: pa.ChunkedArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Return a column of real and of synthetic rows as numbers, and True for a numeric column.

    Numbers become ranks among the synthetic values, from 0 to 1; categories become indices.
    """
    if pa.types.is_string(values.type):
        categories = pa.concat_arrays([*values.chunks, *synthetic.chunks]).unique()
        indices = [pa.compute.index_in(column, categories) for column in (values, synthetic)]
        return (*(np.asarray(i.fill_null(-1), np.float64) for i in indices), False)  # type: ignore[return-value]
    numbers = [
        np.nan_to_num(np.asarray(column.cast(pa.float64()).fill_null(-1)))
        for column in (values, synthetic)
    ]
    ordered = np.sort(numbers[1])
    ranks = [np.searchsorted(ordered, column) / len(ordered) for column in numbers]
    return ranks[0], ranks[1], True


def render_markdown(results: list[dict[str, Any]]) -> str:
    """Return the page with the newest result of each epsilon and seed."""
    lines = [
        "# Differential privacy",
        "",
        f"Adult, 24,000 training rows, delta {DELTA:g}; `python -m bench.privacy` writes this "
        "page. TSTR, detection AUC and pairwise TVD are as in [tables](tables.md). Attack AUC: "
        "success of a membership inference attack that guesses, from the distance to the nearest "
        f"of 24,000 synthetic rows, which of {2 * ATTACKED_ROWS:,} rows are training rows (half "
        "of them are). A random guess has .5, with a standard deviation of .013.",
        "",
        "| epsilon | seed | steps | training, CPU-s | TSTR | detection AUC | pairwise TVD "
        "| attack AUC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    newest = {(r["epsilon"], r["seed"]): r for r in results}
    ordered = sorted(newest.values(), key=lambda r: (r["epsilon"] or np.inf, r["seed"]))
    for result in ordered:
        cells = [
            "none" if result["epsilon"] is None else f"{result['epsilon']:g}",
            f"{result['seed']}",
            f"{result['steps']}",
            f"{result['fit_cpu_s']:.0f}",
            f"{tstr_score(result['utility']):.3f}",
            f"{result['told_apart']:.3f}",
            f"{result['two_way_tv']:.4f}",
            f"{result['attack_auc']:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", type=Path, required=True, help=JUDGE_HELP)
    parser.add_argument("--data", type=Path, required=True, help=DATA_HELP)
    parser.add_argument("--interpreter", default=sys.executable, help=INTERPRETER_HELP)
    parser.add_argument(
        "--epsilons",
        nargs="+",
        type=float,
        default=[0, 1],
        help="Values of epsilon. 0 trains without differential privacy.",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument(
        "--steps", type=int, help="Steps of a private training. Default: as in a job."
    )
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # The libraries read these variables when the process starts.
        command = [sys.executable, "-m", "bench.privacy", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ENVIRONMENT})  # noqa: S606
    torch.set_num_threads(1)
    for epsilon in arguments.epsilons:
        for seed in arguments.seeds:
            result = run_benchmark(epsilon or None, arguments, seed)
            with RESULTS.open("a") as out:
                out.write(json.dumps(result) + "\n")
            print({name: result[name] for name in ("epsilon", "utility", "attack_auc")}, flush=True)
    FIGURES.write_text(render_markdown([json.loads(line) for line in RESULTS.open()]))


if __name__ == "__main__":
    main()
