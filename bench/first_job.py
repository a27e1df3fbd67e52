"""Compare the first training job of a worker process with the next one.

Two jobs with the same dataset, seed and budget are created at once, so the same process runs both.
The first one also loads the libraries. Run
`python -m bench.first_job --judge … --data …`; judge and data are as for bench.images.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from semblance import Client

from bench import image_sets as sets
from bench.images import DIGITS, FASHION, commit, run_comparison, run_judge
from bench.serving import serving

RESULTS = Path(__file__).with_name("results") / "first_job.jsonl"
TRAINING_CPU_S = 15
SAMPLES = {DIGITS: 1_297, FASHION: 10_000}
SCORES = ("feature_frechet", "label_fidelity", "precision", "recall")


def measure(arguments: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    return [row for file in SAMPLES for row in compare_jobs(arguments, file, seed)]


def compare_jobs(arguments: argparse.Namespace, file: str, seed: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder, serving() as client:
        real, synthetic = Path(folder) / "real.npz", Path(folder) / "synthetic.npz"
        with np.load(arguments.data / file) as arrays:
            np.savez(real, **sets.unchanged(dict(arrays)))  # type: ignore[arg-type]
        dataset = client.upload(real)
        spec = {"preset": "fast", "budget": {"cpu_seconds": TRAINING_CPU_S}, "seed": seed}
        jobs = [client.train(dataset["id"], **spec)["id"] for _ in ("first", "next")]
        names = [label["name"] for label in dataset["labels"]]
        per_label, rest = divmod(SAMPLES[file], len(names))
        counts = {name: per_label + (i < rest) for i, name in enumerate(names)}
        finished = [client.wait(job) for job in jobs]  # sampling must not disturb the next job
        for name, job in zip(("first", "next"), finished, strict=True):
            model = job["result"]["model"]
            client.download_samples(model, synthetic, labels=counts, seed=seed + 1_000)
            scores = run_judge(arguments.judge, real, synthetic, arguments.cache)
            yield {
                "row": name,
                "dataset": Path(file).stem,
                "seed": seed,
                "commit": commit(),
                "cpu_seconds": TRAINING_CPU_S,
                "used_cpu_s": job["usage"]["cpu_s"],
                "steps": job["result"]["step"],
                "live_label_accuracy": live_label_accuracy(client, job["id"]),
                **{score: scores[score] for score in SCORES},
            }


def live_label_accuracy(client: Client, job_id: str) -> float:
    """Return the last label accuracy that the job reported while it ran."""
    metrics = client.request("GET", f"/v1/jobs/{job_id}/metrics?names=label_accuracy").json()
    value: float = metrics["label_accuracy"]["values"][-1]
    return value


def main() -> None:
    run_comparison(__doc__, RESULTS, measure, seeds=[1, 2, 3])


if __name__ == "__main__":
    main()
