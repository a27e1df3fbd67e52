"""What a warm start is worth: two new classes of 20 images each, begun with a model of the eight
others, and from nothing, at the same budget. `python -m bench.warm_start --judge … --data …`.

Judge and data as for bench.images; only the two new classes are judged.
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
# Pullovers and shirts: two classes that a classifier has to learn to tell apart.
OLD, NEW = (0, 1, 3, 4, 5, 7, 8, 9), (2, 6)
BEFORE_S, AFTER_S = 60, 30
EACH, SAMPLES = 20, 2_000


def measure(arguments: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder, serving() as client:
        with np.load(arguments.data / FASHION) as arrays:
            whole = dict(arrays)
        files = {name: Path(folder) / f"{name}.npz" for name in ("old", "few", "new")}
        new = sets.keep_classes(*NEW)(whole)
        np.savez(files["old"], **sets.keep_classes(*OLD)(whole))  # type: ignore[arg-type]
        np.savez(files["few"], **sets.first_of_each(EACH)(new))  # type: ignore[arg-type]
        np.savez(files["new"], **new)  # type: ignore[arg-type]
        names = ([str(label) for label in OLD], [str(label) for label in NEW])
        old = client.upload(files["old"], class_names=names[0])
        few = client.upload(files["few"], class_names=names[1])
        begun = train(client, old["id"], BEFORE_S, seed)
        rows = []
        for start in (None, begun):
            spec = {"init_from": start} if start else {}
            model = train(client, few["id"], AFTER_S, seed, **spec)
            made = Path(folder) / "made.npz"
            each = {label["name"]: SAMPLES // len(NEW) for label in few["labels"]}
            client.download_samples(model, made, labels=each, seed=seed + 1_000)
            judged = run_judge(arguments.judge, files["new"], made, arguments.cache)
            scores = {name: judged[name] for name in SCORES}
            about = {"row": "warm" if start else "scratch", "seed": seed, "commit": commit()}
            rows.append(about | scores)
        return rows


def train(client: Client, dataset: str, cpu_seconds: int, seed: int, **spec: Any) -> str:
    budget = {"cpu_seconds": cpu_seconds}
    job = client.train(dataset, preset="fast", budget=budget, seed=seed, **spec)
    model: str = client.wait(job["id"])["result"]["model"]
    return model


def main() -> None:
    run_comparison(__doc__, RESULTS, measure, seeds=[1, 2, 3])


if __name__ == "__main__":
    main()
