"""An uneven set is balanced by one job, and what the job says of its worth is held against
classifiers of its own. `python -m bench.augmentation --data FOLDER`.

FOLDER holds fashion_mnist.npz. The service sees some of the test images; the classifiers here are
asked about others.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from semblance import Client

from bench.images import FASHION, commit
from bench.serving import serving
from models.augmentation.learners import of_images
from models.augmentation.lift import balanced
from models.images.data import LabelledImages

RESULTS = Path(__file__).with_name("results") / "augmentation.jsonl"
EACH, FEW, RARE = 200, 10, (2, 6)  # images of a class, of a rare one; pullovers and shirts
ASKED, ASKED_HERE = 2_000, 4_000  # test images that the service sees, and others
SEEDS = range(100, 105)  # of the classifiers here; the job has its own

Arrays = dict[str, NDArray[Any]]


def uneven(whole: Arrays, factor: float = 1.0) -> Arrays:
    """The first images of each class, `factor` times as many as the uneven set has."""
    counts = [round(factor * (FEW if k in RARE else EACH)) for k in range(10)]
    mine = [np.flatnonzero(whole["y_train"] == k)[:n] for k, n in enumerate(counts)]
    places = np.sort(np.concatenate(mine))
    return {
        "x_train": whole["x_train"][places],
        "y_train": whole["y_train"][places],
        "x_test": whole["x_test"][:ASKED],
        "y_test": whole["y_test"][:ASKED],
    }


def accuracy(x: NDArray[np.uint8], y: NDArray[Any], whole: Arrays, largest: int) -> list[float]:
    """Of a classifier of each seed, asked about test images that the service has not seen."""
    asked = slice(ASKED, ASKED + ASKED_HERE)
    n, truth = len(x), whole["y_test"][asked].astype(np.int64)
    data = LabelledImages(
        np.concatenate([x, whole["x_test"][asked]]),
        np.concatenate([y, truth]).astype(np.int32),
        np.arange(n),
        np.arange(n, n + len(truth)),
    )
    learn = of_images(data, 10, largest, lambda: None)
    return [float(balanced(learn(data.train, seed), truth)) for seed in SEEDS]


def measure(whole: Arrays, seed: int, cpu_seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder, serving() as client:
        file = Path(folder) / "uneven.npz"
        np.savez(file, **uneven(whole))  # type: ignore[arg-type]
        dataset = client.upload(file)["id"]
        # The test part is held out, so that training need not keep more apart.
        spec = {"preset": "fast", "budget": {"cpu_seconds": cpu_seconds}, "holdout": 0.0}
        training = client.wait(client.train(dataset, seed=seed, **spec)["id"])
        model = training["result"]["model"]
        spec = {"model": model, "seed": seed, "measure_lift": True}
        plan = client.augment(dataset, validate_only=True, **spec)
        began = time.monotonic()
        job = client.wait(client.augment(dataset, **spec)["id"])
        report = json.loads(client.artifact(job["id"], "augmentation.json"))
        return {
            "seed": seed,
            "commit": commit(),
            "cpu_seconds": cpu_seconds,
            "plan": {row["name"]: [row[k] for k in KINDS] for row in plan["labels"]},
            "labels": dict(_counts(client, job["result"]["dataset"])),
            "wall_s": round(time.monotonic() - began, 1),
            "job_cpu_s": job["usage"]["cpu_s"],
            **{name: report[name] for name in ("lift", "worth", "recommendation", "cpu_s")},
            "independent": _independent(client, Path(folder), job, report, whole),
        }


KINDS = ("have", "classical", "gan")


def _counts(client: Client, dataset: str) -> Counter[str]:
    return Counter(f"{item['label']} {item['source']}" for item in client.recipes(dataset))


def _independent(
    client: Client, folder: Path, job: dict[str, Any], report: dict[str, Any], whole: Arrays
) -> dict[str, list[float]]:
    """The same sets, downloaded; and real ones of as many more items as the job says."""
    made = job["result"]["dataset"]
    file = client.save_dataset(made, folder / "made.npz")
    with np.load(file) as arrays:
        x, y = arrays["x"], arrays["labels"][arrays["y"]].astype(np.int64)
    real = np.array([item["source"] == "real" for item in client.recipes(made)])
    found = {
        "real_only": accuracy(x[real], y[real], whole, len(x)),
        "both": accuracy(x, y, whole, len(x)),
    }
    more = (report["worth"] or {}).get("both", {}).get("more_real")
    if more and more > 0:
        larger = uneven(whole, 1 + more / int(real.sum()))
        x, y = larger["x_train"], larger["y_train"]
        found["more_real"] = accuracy(x, y, whole, len(x))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--cpu-seconds", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(arguments.data / FASHION) as arrays:
        whole = dict(arrays)
    for seed in arguments.seeds:
        row = measure(whole, seed, arguments.cpu_seconds)
        with RESULTS.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(json.dumps(row, indent=1), flush=True)


if __name__ == "__main__":
    main()
