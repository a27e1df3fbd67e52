"""Measure what a warm start (`init_from`) adds to training on a small dataset.

A model trains on 20 images of each of two new classes of Fashion-MNIST: from random weights, and
from a model of the other eight classes, with the same budget. Only the two new classes are judged.
Run `python -m bench.warm_start --judge … --data …`; judge and data are as for bench.images.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from semblance import Client

from bench import image_sets as sets
from bench.images import FASHION, SCORES, commit, run_comparison, run_judge
from bench.serving import serving

RESULTS = Path(__file__).with_name("results") / "warm_start.jsonl"
# The new classes are pullovers and shirts, which are hard to distinguish.
OLD, NEW = (0, 1, 3, 4, 5, 7, 8, 9), (2, 6)
BASE_CPU_S, TRAINING_CPU_S = 60, 30
IMAGES_PER_CLASS, SAMPLES = 20, 2_000


def measure(arguments: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder, serving() as client:
        with np.load(arguments.data / FASHION) as arrays:
            whole = dict(arrays)
        files = {name: Path(folder) / f"{name}.npz" for name in ("old", "train", "new")}
        new = sets.keep_classes(*NEW)(whole)
        np.savez(files["old"], **sets.keep_classes(*OLD)(whole))  # type: ignore[arg-type]
        np.savez(files["train"], **sets.first_of_each(IMAGES_PER_CLASS)(new))  # type: ignore[arg-type]
        np.savez(files["new"], **new)  # type: ignore[arg-type]
        names = ([str(label) for label in OLD], [str(label) for label in NEW])
        old = client.upload(files["old"], class_names=names[0])
        dataset = client.upload(files["train"], class_names=names[1])
        base_model = train(client, old["id"], BASE_CPU_S, seed)
        rows = []
        for start in (None, base_model):
            spec = {"init_from": start} if start else {}
            model = train(client, dataset["id"], TRAINING_CPU_S, seed, **spec)
            synthetic = Path(folder) / "synthetic.npz"
            counts = {label["name"]: SAMPLES // len(NEW) for label in dataset["labels"]}
            client.download_samples(model, synthetic, labels=counts, seed=seed + 1_000)
            scores = run_judge(arguments.judge, files["new"], synthetic, arguments.cache)
            row = {"row": "warm" if start else "scratch", "seed": seed, "commit": commit()}
            rows.append(row | {name: scores[name] for name in SCORES})
        return rows


def train(client: Client, dataset: str, cpu_seconds: int, seed: int, **spec: Any) -> str:
    """Train a model and return its id."""
    budget = {"cpu_seconds": cpu_seconds}
    job = client.train(dataset, preset="fast", budget=budget, seed=seed, **spec)
    model: str = client.wait(job["id"])["result"]["model"]
    return model


def main() -> None:
    run_comparison(__doc__, RESULTS, measure, seeds=[1, 2, 3])


if __name__ == "__main__":
    main()
