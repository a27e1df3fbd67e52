"""Quality of samples after a minute of training on the GPU."""

import time

import numpy as np

from bench.gpu.workload import Row, Run, Workload
from models.images.data import LabeledImages
from models.images.training import train
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.images.evaluation import evaluate


def quality(workload: Workload) -> Row:
    """Train two architectures for 60 seconds of the GPU; score samples with the test split."""
    n = len(workload.x)
    data = LabeledImages(
        np.concatenate([workload.x, workload.x_test]),
        np.concatenate([workload.y, workload.y_test]),
        np.arange(n),
        n + np.arange(len(workload.x_test)),
    )
    classifier = EvaluationClassifier.fit(data, 10, _never_stop, device=workload.device)
    rows: Row = {"data": "Fashion-MNIST" if workload.is_fashion else "synthetic images"}
    for architecture in ("vae_gan", "r3gan"):
        run = Run(steps=12) if workload.quick else Run(seconds=60.0)
        train(
            workload.images(), workload.settings(architecture), run, seed=1, device=workload.device
        )
        count = 200 if workload.quick else 10_000
        labels, start = np.arange(count) % 10, time.perf_counter()
        pixels = workload.sample(run.last, workload.device, count).astype(np.uint8)
        seconds = time.perf_counter() - start
        np.savez(workload.out / f"{architecture}-60s.npz", x=pixels, y=labels)
        result = evaluate(
            classifier,
            data,
            (pixels, labels),
            [str(label) for label in range(10)],
            seed=1,
            check_stop=_never_stop,
            device=workload.device,
        )
        rows[architecture] = {
            "steps": run.step,
            "samples_per_s": round(count / seconds),
            "scores": {score.name: score.value for score in result.scores},
        }
    return rows


def _never_stop() -> None:
    """Continue."""
