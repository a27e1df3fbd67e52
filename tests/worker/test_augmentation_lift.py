"""What an augmentation job says of its set's worth, against classifiers of other seeds that are
asked about other real items.
"""

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch
from numpy.typing import NDArray
from starlette.testclient import TestClient

from core.datasets import builtin
from models.augmentation import classifiers
from models.augmentation.lift import TrainClassifier, balanced_accuracy
from models.images.data import LabeledImages
from models.tabular.schema import ColumnSchema
from tests.factories import create_dataset
from tests.uploads import make_npz
from tests.worker.larger_sets import arrays_of, made, report_of

pytestmark = pytest.mark.slow
SEEDS = range(50, 55)


def agrees(report: Any, arm: str, accuracies: list[float]) -> bool:
    low, high = report["lift"]["ci95"][arm]
    return bool(low <= float(np.mean(accuracies)) <= high)


def right(
    learn: TrainClassifier, places: NDArray[np.int64], truth: NDArray[np.int64]
) -> list[float]:
    return [float(balanced_accuracy(learn(places, seed), truth)) for seed in SEEDS]


def test_digits_with_two_rare_labels_are_balanced_and_the_lift_is_true(client: TestClient) -> None:
    torch.set_num_threads(1)
    with np.load(builtin.get_digits()[0].path) as arrays:
        names = sorted(name for name in arrays if name.startswith("x"))
        x = np.concatenate([arrays[name] for name in names])
        y = np.concatenate([arrays["y" + name[1:]] for name in names])
    counts = [3 if label in (3, 8) else 60 for label in range(10)]
    mine = np.concatenate([np.flatnonzero(y == k)[:n] for k, n in enumerate(counts)])
    rest = np.setdiff1d(np.arange(len(y)), mine)
    asked, here = rest[::2], rest[1::2]
    data = make_npz(x_train=x[mine], y_train=y[mine], x_test=x[asked], y_test=y[asked])
    dataset = create_dataset(data, "uneven.npz")
    job, new = made(client, dataset, evaluate_lift=True, lift_cpu_seconds=600)
    assert {label["count"] for label in new["labels"]} == {60}
    pixels, labels = arrays_of(client, new["id"])
    truth = y[here].astype(np.int64)
    pool = LabeledImages(
        np.concatenate([pixels, x[here]]),
        np.concatenate([np.array(labels, np.int32), truth.astype(np.int32)]),
        np.arange(len(pixels)),
        np.arange(len(pixels), len(pixels) + len(here)),
    )
    learn = classifiers.build_image_trainer(pool, 10, len(pixels), lambda: None)
    report = report_of(client, job)
    recipes = client.get(new["links"]["provenance"]).text.splitlines()
    real = np.flatnonzero([json.loads(line)["source"] == "real" for line in recipes])
    assert agrees(report, "real", right(learn, real, truth)), report
    assert agrees(report, "transforms", right(learn, pool.train, truth)), report
    assert report["lift"]["gain"]["transforms"]["ci95"][0] > 0  # three of a label are too few


def points(count: int, rare: float, seed: int) -> pa.Table:
    """Two clouds; `rare` of the points are of the second."""
    rng = np.random.default_rng(seed)
    second = rng.random(count) < rare
    x = rng.normal(size=(count, 2)) + 1.5 * second[:, None]
    hue = np.where(rng.random(count) < 0.7, second, ~second)
    columns = {"x": x[:, 0].round(3), "y": x[:, 1].round(3), "hue": np.where(hue, "red", "blue")}
    return pa.table({**columns, "kind": np.where(second, "b", "a")})


def test_rows_with_a_rare_label_are_balanced_and_the_lift_is_true(client: TestClient) -> None:
    table, here = points(3_000, 0.05, 0), points(4_000, 0.05, 1)
    out = io.BytesIO()
    pa.csv.write_csv(table, out)
    dataset = create_dataset(out.getvalue(), "points.csv", target="kind")
    more = {"holdout_fraction": 0.4, "evaluate_lift": True, "lift_cpu_seconds": 600}
    job, new = made(client, dataset, **more)
    csv = client.get(new["links"]["content"]).content
    whole = pa.csv.read_csv(io.BytesIO(csv)).cast(table.schema)
    recipes = client.get(new["links"]["provenance"]).text.splitlines()
    real = np.flatnonzero([json.loads(line)["source"] == "real" for line in recipes])

    def codes(rows: pa.Table) -> NDArray[np.int64]:
        return np.array(rows["kind"].to_pylist()).astype("U1").view(np.uint32).astype(np.int64) - 97

    truth = codes(here)
    learn = classifiers.build_tabular_trainer(
        (whole, codes(whole)),
        (here, truth),
        [
            ColumnSchema("x", "number"),
            ColumnSchema("y", "number"),
            ColumnSchema("hue", "category"),
            ColumnSchema("kind", "category"),
        ],
        "kind",
        real,
        2,
        lambda: None,
    )
    report = report_of(client, job)
    assert agrees(report, "real", right(learn, real, truth)), report
    assert agrees(report, "transforms", right(learn, np.arange(len(whole)), truth)), report
    assert report["lift"]["gain"]["transforms"]["ci95"][0] > 0
