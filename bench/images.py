"""How good the images are, by an independent judge: `make bench JUDGE=… DATA=…`.

DATA is a folder with the sets as npz (x_train, y_train, x_test, y_test); JUDGE a program that takes
`--data REAL.npz --samples MADE.npz` and prints its scores as JSON. Each row uploads a set to a
service of its own, trains for a budget of CPU-seconds on one thread, and draws the samples over
HTTP. The judge never sees training, and training never sees the test part.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.serving import serving

RESULTS = Path(__file__).with_name("results") / "images.jsonl"
Arrays = dict[str, NDArray[Any]]


def first_of_each(arrays: Arrays, count: int) -> Arrays:
    """The first images of each class, in the order of the file."""
    y = arrays["y_train"]
    keep = np.sort(np.concatenate([np.flatnonzero(y == c)[:count] for c in np.unique(y)]))
    return arrays | {"x_train": arrays["x_train"][keep], "y_train": y[keep]}


@dataclass(frozen=True)
class Row:
    """One set at one budget."""

    name: str
    file: str
    cpu_seconds: float
    samples: int
    change: Callable[[Arrays], Arrays] = lambda arrays: arrays


ROWS = [
    Row("fashion", "fashion_mnist.npz", 60, 10_000),
    Row("fashion-300", "fashion_mnist.npz", 300, 10_000),
    Row("fashion-few", "fashion_mnist.npz", 60, 10_000, lambda a: first_of_each(a, 100)),
    Row("digits", "digits.npz", 30, 1_297),
    Row("cifar", "cifar10_lossless_5k.npz", 600, 10_000),
]
SCORES = (
    "feature_frechet",
    "label_fidelity",
    "precision",
    "recall",
    "coverage",
    "near_copies",
    "accuracy_when_trained_on_it",
)


def measure(row: Row, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder, serving() as client:
        real, made = Path(folder) / "real.npz", Path(folder) / "made.npz"
        with np.load(arguments.data / row.file) as arrays:
            np.savez(real, **row.change(dict(arrays)))  # type: ignore[arg-type]
        dataset = client.upload(real, name=row.name)
        spec: dict[str, Any] = {"budget": {"cpu_seconds": row.cpu_seconds}, "seed": seed}
        started = time.monotonic()
        job = client.wait(client.train(dataset["id"], preset=arguments.preset, **spec)["id"])
        wall_s = time.monotonic() - started
        labels = [label["name"] for label in dataset["labels"]]
        each, rest = divmod(row.samples, len(labels))
        counts = {name: each + (i < rest) for i, name in enumerate(labels)}
        client.save_samples(job["result"]["model"], made, labels=counts, seed=seed + 1_000)
        judged = judge(arguments.judge, real, made, arguments.cache)
    return {
        "row": row.name,
        "seed": seed,
        "commit": commit(),
        "cpu_seconds": row.cpu_seconds,
        "used_cpu_s": job["usage"]["cpu_s"],
        "wall_s": round(wall_s, 1),
        "steps": job["result"]["step"],
        **{name: judged[name] for name in SCORES},
        "ceiling": {name: judged["ceiling"][name] for name in SCORES},
    }


def judge(program: Path, real: Path, made: Path, cache: Path) -> dict[str, Any]:
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(program), "--data", str(real), "--samples", str(made)]
    done = subprocess.run([*command, "--cache", str(cache)], capture_output=True, check=True)
    scores: dict[str, Any] = json.loads(done.stdout)
    return scores


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", default=[row.name for row in ROWS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--cache", type=Path, default=Path("build/judge"))
    arguments = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    for row in ROWS:
        if row.name not in arguments.rows:
            continue
        for seed in arguments.seeds:
            result = measure(row, arguments, seed)
            with RESULTS.open("a") as out:
                out.write(json.dumps(result) + "\n")
            print({name: result[name] for name in ("row", "seed", "steps", *SCORES)}, flush=True)


if __name__ == "__main__":
    main()
