"""CPU time of evaluations of large images: `python -m bench.evaluation_cost DATA.npz`.

The training images are resized to each of `--sides`. A model is trained for a few steps only,
because the time of an evaluation does not depend on the quality of the samples.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from bench import image_sets as sets
from bench.images import commit
from bench.serving import serving

TRAINING_STEPS = 20


def measure(data: Path, side: int, images: int, samples: int) -> dict[str, float]:
    with np.load(data) as arrays:
        step = max(1, len(arrays["x_train"]) // images)
        subset = {name: arrays[f"{name}_train"][::step] for name in ("x", "y")}
    resized = sets.upscale(side)({"x_train": subset["x"], "x_test": subset["x"][:1]})
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder, serving() as client:
        file = Path(folder) / "images.npz"
        np.savez(file, x=resized["x_train"], y=subset["y"])
        dataset = client.upload(file)
        budget = {"steps": TRAINING_STEPS}
        training = client.wait(client.train(dataset["id"], preset="fast", budget=budget)["id"])
        job = client.wait(client.evaluate(training["result"]["model"], samples=samples)["id"])
    return {"side": side, "images": dataset["train_items"], "cpu_s": job["usage"]["cpu_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="An npz file with x_train and y_train.")
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--images", type=int, default=750, help="Number of images. Default: 750.")
    parser.add_argument("--samples", type=int, default=750, help="Number of samples. Default: 750.")
    arguments = parser.parse_args()
    for side in arguments.sides:
        result = measure(arguments.data, side, arguments.images, arguments.samples)
        print(result | {"samples": arguments.samples, "commit": commit()}, flush=True)


if __name__ == "__main__":
    main()
