"""Benchmark of image quality, scored by an independent judge: `make bench JUDGE=… DATA=…`.

DATA is a folder with the datasets as npz files (x_train, y_train, x_test, y_test). JUDGE is a
program that takes `--data REAL.npz --samples SYNTHETIC.npz` and prints its scores as JSON. Each row
starts a service, uploads a dataset, trains for a budget of CPU-seconds on one thread, and downloads
samples over HTTP. The judge is not used in training, and training never sees the test split.

Rows of color photographs need `flowers_64.npz` and `clothing_128.npz`, which
`python -m bench.class_folders` makes of public class folders; bench/README.md names them. The judge
sees these images at 32 pixels per side, averaged over blocks of pixels: for larger ones its
classifier needs an hour.

For tuning, `--validation` judges with a part of the training images instead, and
`--hyperparameters '{"latent_dim": 48}'` changes settings; the results record both.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from semblance import Client

from bench import image_sets as sets
from bench.serving import serving

RESULTS = Path(__file__).with_name("results") / "images.jsonl"

MAX_JUDGED_SIDE = 32  # pixels

JUDGE_HELP = "Program that scores samples."
DATA_HELP = "Folder with the datasets."
CACHE_HELP = "Folder in which the judge keeps its classifiers. Default: build/judge."

FASHION, DIGITS, CIFAR = "fashion_mnist.npz", "digits.npz", "cifar10_lossless_5k.npz"
FLOWERS, CLOTHING = "flowers_64.npz", "clothing_128.npz"

# Networks and losses with their authors' settings: Langr & Bok 2019, chapters 3 and 8 (Keras draws
# embeddings uniformly from ±.05, a standard deviation of .029); Radford et al. 2016.
AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "mlp": {"loss": "non_saturating", "batch_size": 128, "generator_lr": 1e-3, "critic_lr": 1e-3},
    "cgan": {
        "loss": "non_saturating",
        "generator_width": 256,
        "critic_norm": "batch",
        "label_embedding_std": 0.029,
        "batch_size": 32,
        "generator_lr": 1e-3,
        "critic_lr": 1e-3,
    },
    "dcgan": {
        "loss": "non_saturating",
        "generator_width": 256,
        "critic_norm": "batch",
        "batch_size": 128,
        "generator_lr": 2e-4,
        "critic_lr": 2e-4,
    },
}
_BETAS = {"mlp": 0.9, "cgan": 0.9, "dcgan": 0.5}
_NO_PENALTY = {"r1_gamma_start": 0.0, "r1_gamma_end": 0.0, "ema_decay": 0.0, "beta2": 0.999}


@dataclass(frozen=True)
class Row:
    """A training with one dataset and one budget."""

    name: str
    file: str
    cpu_seconds: float
    samples: int
    transform: sets.Transform = sets.unchanged
    preset: str = "fast"
    spec: dict[str, Any] = field(default_factory=dict)


def _network(
    name: str,
    architecture: str,
    *,
    file: str = FASHION,
    cpu_seconds: float = 60,
    samples: int = 10_000,
    **hyperparameters: Any,
) -> Row:
    hyperparameters = {"architecture": architecture, **hyperparameters}
    spec = {"hyperparameters": hyperparameters, "early_stopping": False}
    return Row(name, file, cpu_seconds, samples, spec=spec)


def _published(name: str, architecture: str, **changes: Any) -> Row:
    settings = AS_PUBLISHED[architecture] | _NO_PENALTY
    return _network(name, architecture, beta1=_BETAS[architecture], **settings, **changes)


MAIN = [
    Row("fashion", FASHION, 60, 10_000),
    Row("fashion-300", FASHION, 300, 10_000, preset="balanced"),
    Row("fashion-few", FASHION, 60, 10_000, sets.first_of_each(100)),
    Row("digits", DIGITS, 30, 1_297),
    Row("cifar", CIFAR, 600, 10_000, preset="balanced"),
]
NETWORKS = [
    *(_network(name, name) for name in ("cvae", "cgan", "dcgan", "mlp")),
    *(
        _network(f"dcgan-{loss}", "dcgan", loss=loss)
        for loss in ("non_saturating", "minimax", "least_squares", "hinge")
    ),
    *(_published(f"{name}-published", name) for name in AS_PUBLISHED),
]
HARD_SETS = [
    Row("two-classes", FASHION, 120, 2_000, sets.keep_classes(0, 1)),
    Row("hundred-classes", FASHION, 120, 10_000, sets.split_classes(10, 20)),
    Row("64-color", CIFAR, 300, 1_000, sets.upscale(64)),
    Row("rare-class", FASHION, 120, 10_000, sets.limit_class(9, 545)),
]
PHOTOGRAPHS = [
    row
    for name, file in (("flowers-64", FLOWERS), ("clothing-128", CLOTHING))
    for row in (
        Row(name, file, 600, 2_500, preset="balanced"),
        _published(f"{name}-dcgan", "dcgan", file=file, cpu_seconds=600, samples=2_500),
    )
]
ROWS = [*MAIN, *NETWORKS, *HARD_SETS, *PHOTOGRAPHS]
SCORES = (
    "feature_frechet",
    "label_fidelity",
    "precision",
    "recall",
    "coverage",
    "near_copies",
    "accuracy_when_trained_on_it",
)


def run_benchmark(row: Row, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder, serving() as client:
        real, synthetic = Path(folder) / "real.npz", Path(folder) / "synthetic.npz"
        with np.load(arguments.data / row.file) as arrays:
            dataset_arrays = row.transform(dict(arrays))
        if arguments.validation:
            dataset_arrays = sets.use_validation_split(dataset_arrays)
        np.savez(real, **dataset_arrays)  # type: ignore[arg-type]
        dataset = client.upload(real, name=row.name)
        spec = row.spec | {"budget": {"cpu_seconds": row.cpu_seconds}, "seed": seed}
        spec["hyperparameters"] = spec.get("hyperparameters", {}) | arguments.hyperparameters
        started = time.monotonic()
        preset = arguments.preset or row.preset
        job = client.wait(client.train(dataset["id"], preset=preset, **spec)["id"])
        wall_s = time.monotonic() - started
        labels = [label["name"] for label in dataset["labels"]]
        per_label, rest = divmod(row.samples, len(labels))
        counts = {name: per_label + (i < rest) for i, name in enumerate(labels)}
        client.download_samples(job["result"]["model"], synthetic, labels=counts, seed=seed + 1_000)
        if arguments.keep:
            keep_model(
                client, job["result"]["model"], labels, arguments.keep / f"{row.name}-{seed}"
            )
        real, synthetic = (sets.shrink_file(file, MAX_JUDGED_SIDE) for file in (real, synthetic))
        scores = run_judge(arguments.judge, real, synthetic, arguments.cache, arguments.judge_steps)
    return {
        "row": row.name,
        "seed": seed,
        "commit": commit(),
        "preset": preset,
        **({"hyperparameters": arguments.hyperparameters} if arguments.hyperparameters else {}),
        **({"validation": True} if arguments.validation else {}),
        **({"judge_steps": arguments.judge_steps} if arguments.judge_steps else {}),
        "cpu_seconds": row.cpu_seconds,
        "used_cpu_s": job["usage"]["cpu_s"],
        "wall_s": round(wall_s, 1),
        "steps": job["result"]["step"],
        **{name: scores[name] for name in SCORES},
        "ceiling": {name: scores["ceiling"][name] for name in SCORES},
    }


def keep_model(client: Client, model: str, labels: Sequence[str], path: Path) -> None:
    """Write the exported model and a picture of eight images of each label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".zip").write_bytes(
        client.request("GET", f"/v1/models/{model}/export").content
    )
    body = {"labels": dict.fromkeys(labels, 8), "seed": 1, "layout": "grid"}
    grid = client.request("POST", f"/v1/models/{model}/samples?format=png", json=body)
    path.with_suffix(".png").write_bytes(grid.content)


def run_judge(
    program: Path, real: Path, synthetic: Path, cache: Path, steps: int | None = None
) -> dict[str, Any]:
    """Return the judge's scores; `ceiling` holds those of as many real training images."""
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(program), "--data", str(real), "--samples", str(synthetic)]
    command += ["--steps", str(steps)] if steps else []
    done = subprocess.run([*command, "--cache", str(cache)], capture_output=True, check=True)
    scores: dict[str, Any] = json.loads(done.stdout)
    return scores


def run_comparison(
    description: str | None,
    results: Path,
    run_seed: Callable[[argparse.Namespace, int], Sequence[Mapping[str, Any]]],
    *,
    seeds: Sequence[int],
) -> None:
    """Run the command line of a comparison; print its rows and append them to `results`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--judge", type=Path, required=True, help=JUDGE_HELP)
    parser.add_argument("--data", type=Path, required=True, help=DATA_HELP)
    parser.add_argument("--seeds", nargs="+", type=int, default=seeds)
    parser.add_argument("--cache", type=Path, default=Path("build/judge"), help=CACHE_HELP)
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for row in run_seed(arguments, seed):
            with results.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(row, flush=True)


def commit() -> str:
    """Return the commit of the working tree, or "unknown" outside a git repository."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", type=Path, required=True, help=JUDGE_HELP)
    parser.add_argument("--data", type=Path, required=True, help=DATA_HELP)
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[row.name for row in MAIN],
        help=f"Rows to run. All rows: {', '.join(row.name for row in ROWS)}.",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--preset", help="Preset. Default: that of the row.")
    parser.add_argument(
        "--hyperparameters", type=json.loads, default={}, help="Hyperparameters, as JSON."
    )
    parser.add_argument(
        "--validation", action="store_true", help="Judge with a part of the training images."
    )
    parser.add_argument("--cache", type=Path, default=Path("build/judge"), help=CACHE_HELP)
    parser.add_argument(
        "--judge-steps",
        type=int,
        help="Training steps of the judge's classifier. Default: its own.",
    )
    parser.add_argument(
        "--keep", type=Path, help="Folder for each exported model and a picture of its samples."
    )
    arguments = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    for row in ROWS:
        if row.name not in arguments.rows:
            continue
        for seed in arguments.seeds:
            result = run_benchmark(row, arguments, seed)
            with RESULTS.open("a") as out:
                out.write(json.dumps(result) + "\n")
            print({name: result[name] for name in ("row", "seed", "steps", *SCORES)}, flush=True)


if __name__ == "__main__":
    main()
