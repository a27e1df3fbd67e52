"""Benchmark of the order of models: the evaluation of tables must rank them as the judge does.

Run `python -m bench.evaluation_order --judge … --data … --interpreter …`, with DATA and JUDGE as
for bench.tables. Models of each table are trained for different numbers of steps, and one without
the coding of relations. The judge and the service's evaluation score the same samples, against the
same held-out rows. Of two models whose judged scores differ clearly, the service must prefer the
same one.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch

from bench.images import DATA_HELP, JUDGE_HELP, commit
from bench.tables import ENVIRONMENT, INTERPRETER_HELP, ROWS, Budget, Row, read, run_judge, split
from models.checkpoint import unpack
from models.metrics.tabular.evaluation import evaluate
from models.metrics.verdict import verdict_of
from models.tabular.budget import budget
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.settings import TableData, resolve
from models.tabular.training import train

RESULTS = Path(__file__).with_name("results") / "evaluation_order.jsonl"
CLEAR_DIFFERENCE = 0.02  # of two judged scores
MAX_SAMPLES = 10_000


@dataclass(frozen=True)
class Variant:
    """A model of a table: its training steps (None: those of the preset), and relations."""

    name: str
    steps: int | None = None
    relations: bool = True


VARIANTS = (
    Variant("10 steps", 10),
    Variant("50 steps", 50),
    Variant("relations off", relations=False),
    Variant("preset"),
)


def judged_scores(judge: dict[str, Any]) -> dict[str, float]:
    """Return the judge's scores by the names of the service's scores."""
    utility = judge["utility"]
    scores = {
        "detection_auc": judge["told_apart"],
        "relation_detection_auc": judge["told_apart_by_relations"],
        "tstr_score": next(utility[name] for name in ("r2", "auc", "macro_f1") if name in utility),
        "global_utility": judge["global_utility"],
        "label_tvd": judge["by_label_tv"],
        "pairwise_tvd": judge["two_way_tv"],
        "relation_violation_rate": max(judge["relations_broken"].values(), default=0.0),
    }
    return {name: score for name, score in scores.items() if score is not None}


def run_variant(
    row: Row, variant: Variant, arguments: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    row = replace(row, relations=variant.relations)
    train_file, test_file = split(row, arguments.data, folder)
    table, schema = read(train_file, row.drop)
    types = [column.type for column in schema if column.type != "id"]
    shape = TableData(len(table), len(types), types.count("category"))
    settings = resolve(shape, "fast", {"relations": row.relations})
    run = Budget(variant.steps or budget(shape, settings, "fast")["steps"])
    rows = LabeledRows.split(
        table, schema, target_column=row.target, holdout_fraction=0.1, seed=arguments.seed
    )
    train(rows, settings, run, seed=arguments.seed)
    assert run.saved is not None  # noqa: S101 - every run ends with a save
    (folder / "model").write_bytes(run.saved.model)
    sampler = TableSampler.load(*unpack(folder / "model"))
    count = min(len(table), MAX_SAMPLES)
    samples = sampler.sample(arguments.seed + 1_000, np.arange(count)).rows
    synthetic_file = folder / "synthetic.csv"
    pa.csv.write_csv(samples, synthetic_file, pa.csv.WriteOptions(quoting_style="needed"))
    judge = run_judge(row, arguments, train_file, test_file, synthetic_file)
    # The judge compares with all test rows.
    test = read(test_file, row.drop)[0].cast(table.schema)
    train_and_test = pa.concat_tables([table, test])
    test_indices = np.arange(len(table), len(train_and_test))
    data = LabeledRows(train_and_test, tuple(schema), row.target, rows.train, test_indices)
    started = time.process_time()
    synthetic = pa.Table.from_batches([samples])
    scores = evaluate(data, synthetic, seed=0, check_stop=lambda: None).scores
    return {
        "table": row.name,
        "variant": variant.name,
        "seed": arguments.seed,
        "commit": commit(),
        "evaluation_cpu_s": round(time.process_time() - started, 2),
        "judge": judged_scores(judge),
        "scores": {score.name: score.to_dict() for score in scores},
        "verdict": verdict_of(scores).verdict,
    }


def badness(score: dict[str, Any], value: float) -> float:
    """Return a number that is larger for a worse value of the score."""
    if score["direction"] == "target":
        return abs(value - float(score["target"]))
    return -value if score["direction"] == "higher" else value


def order_agreement(results: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return, for each score, the pairs of models in the judge's order, and the number of pairs.

    Pairs of one table count if the judged scores differ by CLEAR_DIFFERENCE.
    """
    agreement: dict[str, tuple[int, int]] = {}
    for a, b in combinations(results, 2):
        if a["table"] != b["table"]:
            continue
        for name in a["judge"].keys() & b["judge"].keys() & a["scores"].keys() & b["scores"].keys():
            ours, theirs = (
                badness(a["scores"][name], values[0]) - badness(b["scores"][name], values[1])
                for values in (
                    (a["scores"][name]["value"], b["scores"][name]["value"]),
                    (a["judge"][name], b["judge"][name]),
                )
            )
            if abs(theirs) >= CLEAR_DIFFERENCE:
                agreeing, pairs = agreement.get(name, (0, 0))
                agreement[name] = agreeing + (ours * theirs > 0), pairs + 1
    return agreement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", type=Path, required=True, help=JUDGE_HELP)
    parser.add_argument("--data", type=Path, required=True, help=DATA_HELP)
    parser.add_argument("--interpreter", default=sys.executable, help=INTERPRETER_HELP)
    tables = ["f01_orders", "concrete", "telco_churn"]
    parser.add_argument("--tables", nargs="+", default=tables, help="Default: three small ones.")
    variants = [variant.name for variant in VARIANTS]
    parser.add_argument("--variants", nargs="+", default=variants, help="Default: all.")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        # The libraries read these variables when the process starts.
        command = [sys.executable, "-m", "bench.evaluation_order", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ENVIRONMENT})  # noqa: S606
    torch.set_num_threads(1)
    results = []
    for name in arguments.tables:
        row = next(row for row in ROWS if row.name == name)
        for variant in (v for v in VARIANTS if v.name in arguments.variants):
            with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder:
                result = run_variant(row, variant, arguments, Path(folder))
            results.append(result)
            with RESULTS.open("a") as out:
                out.write(json.dumps(result) + "\n")
            ours = {name: round(score["value"], 4) for name, score in result["scores"].items()}
            print(name, variant.name, result["judge"], ours, result["verdict"], flush=True)
    print(order_agreement(results))


if __name__ == "__main__":
    main()
