"""What differential privacy costs, and what an attack learns of who was learned from.

Adult, judged as `bench.tables` does. The attack guesses that a row was learned from if a made row
is near: its AUC over as many rows that were learned from as were not, .5 for an attack that knows
nothing. Distances are shares of names that differ and differences of ranks of numbers.
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

from bench.images import commit
from bench.tables import ENVIRONMENT, ROWS, Budget, read, run_judge, split, tstr_score
from models.checkpoint import unpack
from models.metrics.critic import critic_accuracy
from models.tabular import dp_domains, dp_training
from models.tabular.data import LabeledRows
from models.tabular.dp_accountant import PrivacyBudget
from models.tabular.sampling import TableSampler
from models.tabular.settings import TableData, budget, resolve
from models.tabular.training import train

RESULTS = Path(__file__).with_name("results") / "privacy.jsonl"
FIGURES = Path(__file__).with_name("privacy.md")
ADULT = ROWS[0]
DELTA = 1e-5
ATTACKED_ROWS = 1_000  # rows of each kind
# As the table's documentation has them.
NUMBERS: dict[str, dict[str, Any]] = {
    "age": {"min": 17, "max": 90},
    "fnlwgt": {"min": 10_000, "max": 1_500_000},
    "education-num": {"min": 1, "max": 16},
    "capital-gain": {"min": 0, "max": 99_999, "values": [0, 99_999]},
    "capital-loss": {"min": 0, "max": 4_999, "values": [0]},
    "hours-per-week": {"min": 1, "max": 99},
}


def column_domains(table: pa.Table) -> dict[str, dict[str, Any]]:
    """Numbers as documented. The names of the whole set are those that its documentation lists."""
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
        others, _ = read(test_file, ())
        names = sum(column.type == "category" for column in schema)
        data = TableData(len(table), len(schema), names)
        is_private = epsilon is not None
        settings = resolve(data, "fast", {}, differential_privacy=is_private)
        run = Budget(budget(data, settings, "fast", differential_privacy=is_private)["steps"])
        if is_private and arguments.steps is not None:
            run = Budget(arguments.steps)
        held_out = 0.0 if is_private else 0.1
        rows = LabeledRows.split(
            table, schema, target_column=ADULT.target, holdout_fraction=held_out, seed=seed
        )
        started = time.process_time()
        if epsilon is None:
            train(rows, settings, run, seed=seed)
        else:
            domains = dp_domains.parse_domains(
                column_domains(pa.concat_tables([table, others])), {c.name: c.type for c in schema}
            )
            promise = PrivacyBudget(epsilon, DELTA, int(run.steps))
            dp_training.train(rows, domains, settings, promise, run, seed=seed)
        fit_s = time.process_time() - started
        assert run.saved is not None  # noqa: S101 - every run ends with a save
        (folder / "model").write_bytes(run.saved.model)
        sampler = TableSampler.load(*unpack(folder / "model"))
        made = sampler.sample(seed + 1_000, np.arange(len(table))).rows
        made_file = folder / "made.csv"
        pa.csv.write_csv(made, made_file, pa.csv.WriteOptions(quoting_style="needed"))
        judged = run_judge(ADULT, arguments, train_file, test_file, made_file)
        learned = table.take(pa.array(rows.train[:ATTACKED_ROWS]))
        attack = attack_auc(pa.Table.from_batches([made]), learned, others.slice(0, ATTACKED_ROWS))
    return {
        "epsilon": epsilon,
        "seed": seed,
        "commit": commit(),
        "fit_cpu_s": round(fit_s, 1),
        "steps": run.step,
        "attack_auc": round(attack, 4),
        **judged,
    }


def attack_auc(synthetic: pa.Table, members: pa.Table, non_members: pa.Table) -> float:
    """The share of pairs of a row that was learned from and one that was not in which the first has
    the nearer made row."""
    near = [_nearest(rows, synthetic) for rows in (members, non_members)]
    return critic_accuracy(*(-torch.from_numpy(distance) for distance in near)).auc


def _nearest(rows: pa.Table, made: pa.Table) -> NDArray[np.float64]:
    """(N,) distances to the nearest made row."""
    nearest = np.full(len(rows), np.inf)
    columns = [_comparable(rows.column(name), made.column(name)) for name in made.schema.names]
    for start in range(0, len(made), 2_000):
        part = slice(start, start + 2_000)
        distance = np.zeros((len(rows), len(made.slice(start, 2_000))))
        for mine, theirs, is_number in columns:
            apart = mine[:, None] - theirs[None, part]
            distance += np.abs(apart) if is_number else apart != 0
        nearest = np.minimum(nearest, distance.min(1))
    return nearest


def _comparable(
    mine: pa.ChunkedArray, theirs: pa.ChunkedArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Ranks of numbers among the made ones, from 0 to 1; numbers for names."""
    if pa.types.is_string(mine.type):
        known = pa.concat_arrays([*mine.chunks, *theirs.chunks]).unique()
        index = [pa.compute.index_in(values, known) for values in (mine, theirs)]
        return (*(np.asarray(i.fill_null(-1), np.float64) for i in index), False)  # type: ignore[return-value]
    numbers = [
        np.nan_to_num(np.asarray(v.cast(pa.float64()).fill_null(-1))) for v in (mine, theirs)
    ]
    ordered = np.sort(numbers[1])
    ranks = [np.searchsorted(ordered, values) / len(ordered) for values in numbers]
    return ranks[0], ranks[1], True


def render_markdown(results: list[dict[str, Any]]) -> str:
    """The newest result of each seed, as a table."""
    lines = [
        "# Differential privacy",
        "",
        f"Adult, 24,000 rows, delta {DELTA:g}; `python -m bench.privacy` makes the figures. "
        "Utility and told apart as in [tables](tables.md). Attack: the AUC of guessing by the "
        f"nearest of 24,000 made rows which of {2 * ATTACKED_ROWS:,} rows were learned from, as half of "
        "them were; .5 is no better than chance, whose standard deviation is .013.",
        "",
        "| epsilon | seed | steps | fit, CPU-s | utility | told apart | pairs, TV | attack |",
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
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--interpreter", default=sys.executable)
    parser.add_argument("--epsilons", nargs="+", type=float, default=[0, 1], help="0: none")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--steps", type=int, help="of a private run; default: as a job's")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # Both are read when a process starts.
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
