"""Measurement of how much the judge's scores vary with the real rows from which it learns.

Run `python -m bench.judge_spread --judge … --data … --interpreter …`, with DATA, JUDGE and
INTERPRETER as for bench.tables. The judge scores random parts of the real training rows as if they
were samples: no generator can be expected to differ less from the score of all training rows.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).with_name("results") / "judge_spread.jsonl"
TABLES = ("adult", "california_housing", "concrete", "batting", "mlc_churn", "OJ", "f01_orders")
PART = 0.9  # of the training rows
SCORES = ("tstr", "told_apart", "told_apart_by_relations", "global_utility")


def score_part(table: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the scores of a random part of the training rows, and those of all of them."""
    from bench import tables

    row = next(row for row in tables.ROWS if row.name == table)
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        train_file, test_file = tables.split(row, arguments.data, Path(name))
        header, *lines = train_file.read_text().splitlines(keepends=True)
        chosen = np.random.default_rng(seed).permutation(len(lines))[: int(PART * len(lines))]
        part_file = Path(name) / "part.csv"
        part_file.write_text("".join([header, *(lines[i] for i in chosen)]))
        scores = tables.run_judge(row, arguments, train_file, test_file, part_file)
    return {
        "table": table,
        "seed": seed,
        "tstr": tables.tstr_score(scores["utility"]),
        "tstr_ceiling": tables.tstr_score(scores["utility_ceiling"]),
        **{name: scores[name] for name in SCORES[1:]},
        **{f"{name}_ceiling": scores[f"{name}_ceiling"] for name in SCORES[1:]},
    }


def render_spread() -> list[str]:
    """Return the lines of this measurement in bench/tables.md."""
    if not RESULTS.exists():
        return []
    newest = {(r["table"], r["seed"]): r for r in map(json.loads, RESULTS.open())}
    lines = [
        "",
        "## Scores of real rows",
        "",
        f"`python -m bench.judge_spread` lets the judge score a random {100 * PART:g} % of the "
        "real training rows as if they were samples: the least and the greatest score, and in "
        "brackets that of all training rows, the `real` of the first table. Differences within "
        "such a range say nothing about a generator.",
        "",
        "| table | parts | TSTR | detection AUC | by relations | global utility |",
        "|---" * 6 + "|",
    ]
    for table in TABLES:
        runs = [run for (name, _), run in newest.items() if name == table]
        if runs:
            cells = [_range([run[name] for run in runs], runs[0], name) for name in SCORES]
            lines.append(f"| {table} | {len(runs)} | {' | '.join(cells)} |")
    return lines


def _range(values: Sequence[float], run: dict[str, Any], name: str) -> str:
    return f"{min(values):.3f} to {max(values):.3f} ({run[f'{name}_ceiling']:.3f})"


def main() -> None:
    from bench import tables

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--interpreter", default=sys.executable, help=tables.INTERPRETER_HELP)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    for table in arguments.tables:
        for seed in arguments.seeds:
            result = score_part(table, seed, arguments)
            with RESULTS.open("a") as out:
                out.write(json.dumps(result) + "\n")
            print({name: result[name] for name in ("table", "seed", *SCORES)}, flush=True)
    tables.write_figures()


if __name__ == "__main__":
    main()
