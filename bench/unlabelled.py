"""What images without a label are worth: 20 labelled ones of each class of Fashion-MNIST alone, and
beside 580 of each whose labels are not told, at the same budget.
`python -m bench.unlabelled --judge … --data …`; judge and data as for bench.images.
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
from core.datasets.images.writing import encode_png

RESULTS = Path(__file__).with_name("results") / "unlabelled.jsonl"
LABELLED, EACH = 20, 600
BUDGET_S, SAMPLES = 60, 10_000


def measure(arguments: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    with np.load(arguments.data / FASHION) as arrays:
        chosen = sets.first_of_each(EACH)(dict(arrays))
    x, y = chosen["x_train"], chosen["y_train"]
    order = np.concatenate([np.flatnonzero(y == label)[:LABELLED] for label in np.unique(y)])
    told = np.isin(np.arange(len(y)), order)
    rows = []
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name, serving() as client:
        folder = Path(name)
        real, made = folder / "real.npz", folder / "made.npz"
        np.savez(real, **chosen)  # type: ignore[arg-type]
        for kept in (told, np.ones(len(y), bool)):
            file = folder / "few.zip"
            write_zip(file, x[kept], y[kept], told[kept])
            dataset = client.upload(file)
            model = train(client, dataset["id"], BUDGET_S, seed)
            each = {label["name"]: SAMPLES // 10 for label in dataset["labels"]}
            client.download_samples(model, made, labels=each, seed=seed + 1_000)
            judged = run_judge(arguments.judge, real, made, arguments.cache)
            about = {"unlabelled": int((~told[kept]).sum()), "seed": seed, "commit": commit()}
            rows.append(about | {name: judged[name] for name in SCORES})
    return rows


def write_zip(
    path: Path, x: NDArray[np.uint8], y: NDArray[np.int64], told: NDArray[np.bool_]
) -> None:
    lines = ["path,label"]
    with zipfile.ZipFile(path, "w") as archive:
        for i, (image, label) in enumerate(zip(x, y, strict=True)):
            archive.writestr(f"{i}.png", encode_png(image))
            lines.append(f"{i}.png,{label if told[i] else ''}")
        archive.writestr("labels.csv", "\n".join(lines))


def main() -> None:
    run_comparison(__doc__, RESULTS, measure, seeds=[1, 2])


if __name__ == "__main__":
    main()
