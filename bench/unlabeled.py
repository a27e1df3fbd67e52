"""Measure what unlabeled images add to a small labeled dataset.

A model trains on 20 labeled images of each class of Fashion-MNIST, and another one also on 580
unlabeled images of each class, with the same budget. Run
`python -m bench.unlabeled --judge … --data …`; judge and data are as for bench.images.
"""

import argparse
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import image_sets as sets
from bench.images import FASHION, SCORES, commit, run_comparison, run_judge
from bench.serving import serving
from bench.warm_start import train
from modalities.image.encode import encode_png

RESULTS = Path(__file__).with_name("results") / "unlabeled.jsonl"
LABELED_PER_CLASS, IMAGES_PER_CLASS = 20, 600
TRAINING_CPU_S, SAMPLES = 60, 10_000


def measure(arguments: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    with np.load(arguments.data / FASHION) as arrays:
        subset = sets.first_of_each(IMAGES_PER_CLASS)(dict(arrays))
    x, y = subset["x_train"], subset["y_train"]
    labeled_indices = np.concatenate(
        [np.flatnonzero(y == label)[:LABELED_PER_CLASS] for label in np.unique(y)]
    )
    is_labeled = np.isin(np.arange(len(y)), labeled_indices)
    rows = []
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name, serving() as client:
        folder = Path(name)
        real, synthetic = folder / "real.npz", folder / "synthetic.npz"
        np.savez(real, **subset)  # type: ignore[arg-type]
        for mask in (is_labeled, np.ones(len(y), bool)):
            file = folder / "train.zip"
            write_zip(file, x[mask], y[mask], is_labeled[mask])
            dataset = client.upload(file)
            model = train(client, dataset["id"], TRAINING_CPU_S, seed)
            counts = {label["name"]: SAMPLES // 10 for label in dataset["labels"]}
            client.download_samples(model, synthetic, labels=counts, seed=seed + 1_000)
            scores = run_judge(arguments.judge, real, synthetic, arguments.cache)
            unlabeled = int((~is_labeled[mask]).sum())
            row = {"unlabeled": unlabeled, "seed": seed, "commit": commit()}
            rows.append(row | {name: scores[name] for name in SCORES})
    return rows


def write_zip(
    path: Path, x: NDArray[np.uint8], y: NDArray[np.int64], is_labeled: NDArray[np.bool_]
) -> None:
    """Write images and a labels.csv, in which unlabeled images have an empty label."""
    lines = ["path,label"]
    with zipfile.ZipFile(path, "w") as archive:
        for i, (image, label) in enumerate(zip(x, y, strict=True)):
            archive.writestr(f"{i}.png", encode_png(image))
            lines.append(f"{i}.png,{label if is_labeled[i] else ''}")
        archive.writestr("labels.csv", "\n".join(lines))


def main() -> None:
    run_comparison(__doc__, RESULTS, measure, seeds=[1, 2])


if __name__ == "__main__":
    main()
