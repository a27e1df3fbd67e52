"""Benchmark of other generators of tables, scored by the judge of bench.tables.

Run `python -m bench.table_peers --judge … --data … --interpreter … --peer cart=PYTHON …`, with
DATA, JUDGE and INTERPRETER as for bench.tables. Each `--peer` names a generator and the Python of
an environment that has its packages:

- `cart`: sequential trees as in synthpop (Nowok et al. 2016): each column is drawn from the leaf of
  a tree on the columns before it. Needs scikit-learn and pandas.
- `argn`: TabularARGN (Tiwald et al. 2025, 2501.12012) with its defaults, which protect rare values,
  such as the players of batting. Needs mostlyai-engine.
- `ctgan`: CTGAN (Xu et al. 2019, 1907.00503) with its defaults. Needs ctgan.

The comparison has the results of bench.tables, too.

All of them get the same training rows and run on one core. CPU time includes fitting and sampling.
In its environment runs `python bench/table_peers.py generate PEER TRAIN SYNTHETIC ROWS SEED`.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results") / "table_peers.jsonl"
OWN_RESULTS = RESULTS.with_name("tables.jsonl")
TABLES = ("adult", "batting", "california_housing", "f01_orders")
MODULES = {"cart": "sklearn.tree", "argn": "mostlyai.engine", "ctgan": "ctgan"}
PEERS = tuple(MODULES)
MIN_LEAF_ROWS = 5  # of a tree of `cart`, as in synthpop
MAX_DISCRETE_VALUES = 20  # numbers of at most as many values are discrete columns of CTGAN
EPOCH = "1970-01-01"
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def generate(peer: str, train: str, synthetic: str, rows: int, seed: int) -> None:
    """Write synthetic rows and print the CPU-seconds; runs in the environment of the peer."""
    import pandas

    frame = pandas.read_csv(train, skipinitialspace=True)
    times = [name for name in frame.columns if _is_time(frame[name])]
    for name in times:
        frame[name] = pandas.to_datetime(frame[name])
        if peer != "argn":  # which knows times
            frame[name] = (frame[name] - pandas.Timestamp(EPOCH)) // pandas.Timedelta("1s")
    # Imports are not measured.
    importlib.import_module(MODULES[peer])
    started = time.process_time()
    samples = {"cart": _cart, "argn": _argn, "ctgan": _ctgan}[peer](frame, rows, seed)
    print(json.dumps({"cpu_s": round(time.process_time() - started, 2)}))
    for name in times if peer != "argn" else ():
        samples[name] = pandas.to_datetime(samples[name].round(), unit="s")
    samples.to_csv(synthetic, index=False, date_format="%Y-%m-%dT%H:%M:%S")


def _is_time(column: Any) -> bool:
    return str(column.dtype) in ("object", "str") and bool(
        column.dropna().astype(str).str.match(r"\d{4}-\d{2}-\d{2}").all()
    )


def _cart(frame: Any, rows: int, seed: int) -> Any:
    import numpy as np
    import pandas as pd

    trees = importlib.import_module(MODULES["cart"])
    rng = np.random.default_rng(seed)
    real: list[Any] = []  # encoded columns
    synthetic: list[Any] = []
    out = {}
    for name in frame.columns:
        column = frame[name].to_numpy()
        is_number = pd.api.types.is_numeric_dtype(frame[name])
        if is_number:
            # A missing number is far below the others, so that a tree can separate it.
            low = np.nanmin(column) - 10 * (np.nanmax(column) - np.nanmin(column) + 1)
            encoded = np.where(pd.isna(column), low, column).astype(float)
        else:
            encoded = pd.factorize(frame[name].astype(str), sort=True)[0].astype(float)
        if not real:
            donors = rng.integers(len(frame), size=rows)
        else:
            tree_type = trees.DecisionTreeRegressor if is_number else trees.DecisionTreeClassifier
            tree = tree_type(min_samples_leaf=MIN_LEAF_ROWS, random_state=seed)
            tree.fit(np.stack(real, 1), encoded)
            leaves = tree.apply(np.stack(real, 1))
            order = np.argsort(leaves, kind="stable")
            of_rows = tree.apply(np.stack(synthetic, 1))
            first = np.searchsorted(leaves[order], of_rows, side="left")
            last = np.searchsorted(leaves[order], of_rows, side="right")
            donors = order[first + (rng.random(rows) * (last - first)).astype(int)]
        real.append(encoded)
        synthetic.append(encoded[donors])
        out[name] = column[donors]
    return pd.DataFrame(out)


def _argn(frame: Any, rows: int, seed: int) -> Any:
    engine = importlib.import_module(MODULES["argn"])
    engine.set_random_state(seed)
    return engine.TabularARGN(device="cpu", verbose=0).fit(X=frame).sample(n_samples=rows)


def _ctgan(frame: Any, rows: int, seed: int) -> Any:
    import pandas as pd

    discrete = [
        name
        for name in frame.columns
        if not pd.api.types.is_numeric_dtype(frame[name])
        or frame[name].nunique() <= MAX_DISCRETE_VALUES
    ]
    filled = frame.copy()
    for name in frame.columns:  # it takes no missing values
        is_text = not pd.api.types.is_numeric_dtype(frame[name])
        filled[name] = frame[name].fillna("" if is_text else frame[name].median())
    model = importlib.import_module(MODULES["ctgan"]).CTGAN(enable_gpu=False)
    model.set_random_state(seed)
    model.fit(filled, discrete)
    return model.sample(rows)


def run_peer(
    peer: str, python: str, table: str, seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    from bench import tables

    row = next(row for row in tables.ROWS if row.name == table)
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        train_file, test_file = tables.split(row, arguments.data, folder)
        with train_file.open() as file:
            rows = sum(1 for _ in file) - 1
        synthetic_file = folder / "synthetic.csv"
        command = [python, __file__, "generate", peer, train_file, synthetic_file, rows, seed]
        done = subprocess.run(
            [*map(str, command)], check=True, stdout=subprocess.PIPE, cwd=folder, env=_environment()
        )
        cost = json.loads(done.stdout.decode().strip().splitlines()[-1])
        scores = tables.run_judge(row, arguments, train_file, test_file, synthetic_file)
    return {"peer": peer, "table": table, "seed": seed, **cost, **scores}


def _environment() -> dict[str, str]:
    """Return the environment of a peer: this one without the modules of this project."""
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **ONE_CORE}


def render_peers() -> list[str]:
    """Return the lines of the comparison in bench/tables.md: the medians over seeds."""
    if not RESULTS.exists():
        return []
    results = [json.loads(line) for line in RESULTS.open()]
    peers = {result["peer"] for result in results}
    only_one = "; so far, only one other generator was run" if len(peers) == 1 else ""
    for run in map(json.loads, OWN_RESULTS.open()):
        if run["row"] in TABLES and "global_utility" in run:
            cpu_s = run["fit_cpu_s"] + run["rows"] / run["rows_per_s"]
            results.append({**run, "peer": "semblance", "table": run["row"], "cpu_s": cpu_s})
    lines = [
        "",
        "## Other generators",
        "",
        "`python -m bench.table_peers` trains other generators on the same rows, on one core; its "
        "head describes them. The rows of Semblance are those of the table above, from other "
        f"runs{only_one}. CPU-s are those of fitting and of sampling as many rows. By label is the "
        "total variation distance of columns among the rows of one label.",
        "",
        "| table | generator | seeds | CPU-s | TSTR | real | detection AUC | real | by relations "
        "| real | broken | global utility | real | pairwise TVD | by label | DCR share "
        "| exact matches |",
        "|---" * 17 + "|",
    ]
    for table in TABLES:
        for peer in ("semblance", *PEERS):
            newest = {r["seed"]: r for r in results if (r["table"], r["peer"]) == (table, peer)}
            if newest:
                cells = [_cells(result) for result in newest.values()]
                medians = [_median(column) for column in zip(*cells, strict=True)]
                lines.append(f"| {table} | {peer} | {len(newest)} | {' | '.join(medians)} |")
    return lines


def _median(cells: Sequence[str]) -> str:
    """Return the lower median of formatted numbers, which are all empty or none is."""
    return sorted(cells, key=lambda cell: float(cell or 0))[(len(cells) - 1) // 2]


def _cells(result: dict[str, Any]) -> list[str]:
    tstr, real_tstr = (
        next(scores[name] for name in ("r2", "auc", "macro_f1") if name in scores)
        for scores in (result["utility"], result["utility_ceiling"])
    )
    by_label = result["by_label_tv"]
    return [
        f"{result['cpu_s']:.1f}",
        f"{tstr:.3f}",
        f"{real_tstr:.3f}",
        f"{result['told_apart']:.3f}",
        f"{result['told_apart_ceiling']:.3f}",
        f"{result['told_apart_by_relations']:.3f}",
        f"{result['told_apart_by_relations_ceiling']:.3f}",
        f"{max(result['relations_broken'].values(), default=0.0):.4f}",
        f"{result['global_utility']:.3f}",
        f"{result['global_utility_ceiling']:.3f}",
        f"{result['two_way_tv']:.4f}",
        "" if by_label is None else f"{by_label:.4f}",
        f"{result['dcr_share']:.3f}",
        f"{result['exact_copies']:.5f}",
    ]


def main() -> None:
    from bench import tables

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--interpreter", default=sys.executable, help=tables.INTERPRETER_HELP)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    arguments = parser.parse_args()
    pythons: dict[str, str] = dict(peer.split("=", 1) for peer in arguments.peer)
    for table in arguments.tables:
        for peer in (name for name in PEERS if name in pythons):
            for seed in arguments.seeds:
                result = run_peer(peer, pythons[peer], table, seed, arguments)
                with RESULTS.open("a") as out:
                    out.write(json.dumps(result) + "\n")
                shown = ("peer", "table", "seed", "cpu_s", "told_apart", "utility")
                print({name: result[name] for name in shown}, flush=True)
    tables.write_figures()


if __name__ == "__main__":
    if sys.argv[1:2] == ["generate"]:
        peer_name, train_path, synthetic_path, count, random_seed = sys.argv[2:]
        generate(peer_name, train_path, synthetic_path, int(count), int(random_seed))
    else:
        main()
