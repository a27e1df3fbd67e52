"""Lift reported by augmentation jobs, compared with fresh classifiers on fresh real items."""

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
from tests.job_kinds.augmentation_runs import augment, download_arrays, get_report
from tests.uploads import make_npz

pytestmark = pytest.mark.slow
SEEDS = range(50, 55)


def is_within_interval(report: Any, variant: str, accuracies: list[float]) -> bool:
    low, high = report["lift"]["ci95"][variant]
    return bool(low <= float(np.mean(accuracies)) <= high)


def measure_accuracies(
    train: TrainClassifier, indices: NDArray[np.int64], labels_true: NDArray[np.int64]
) -> list[float]:
    return [float(balanced_accuracy(train(indices, seed), labels_true)) for seed in SEEDS]


def test_lift_of_digits_with_two_rare_labels_agrees_with_fresh_classifiers(
    client: TestClient,
) -> None:
    torch.set_num_threads(1)
    with np.load(builtin.get_digits()[0].path) as arrays:
        names = sorted(name for name in arrays if name.startswith("x"))
        x = np.concatenate([arrays[name] for name in names])
        y = np.concatenate([arrays["y" + name[1:]] for name in names])
    counts = [3 if label in (3, 8) else 60 for label in range(10)]
    train_indices = np.concatenate([np.flatnonzero(y == k)[:n] for k, n in enumerate(counts)])
    other_indices = np.setdiff1d(np.arange(len(y)), train_indices)
    test_indices, fresh_indices = other_indices[::2], other_indices[1::2]
    data = make_npz(
        x_train=x[train_indices],
        y_train=y[train_indices],
        x_test=x[test_indices],
        y_test=y[test_indices],
    )
    dataset = create_dataset(data, "uneven.npz")
    job, new = augment(client, dataset, evaluate_lift=True, lift_cpu_seconds=600)
    assert {label["count"] for label in new["labels"]} == {60}
    pixels, labels = download_arrays(client, new["id"])
    labels_true = y[fresh_indices].astype(np.int64)
    pool = LabeledImages(
        np.concatenate([pixels, x[fresh_indices]]),
        np.concatenate([np.array(labels, np.int32), labels_true.astype(np.int32)]),
        np.arange(len(pixels)),
        np.arange(len(pixels), len(pixels) + len(fresh_indices)),
    )
    train = classifiers.build_image_trainer(pool, 10, len(pixels), lambda: None)
    report = get_report(client, job)
    provenance = client.get(new["links"]["provenance"]).text.splitlines()
    real = np.flatnonzero([json.loads(line)["source"] == "real" for line in provenance])
    assert is_within_interval(report, "real", measure_accuracies(train, real, labels_true)), report
    assert is_within_interval(
        report, "transforms", measure_accuracies(train, pool.train, labels_true)
    ), report
    # Three real images of a label are too few.
    assert report["lift"]["gain"]["transforms"]["ci95"][0] > 0


def random_points(count: int, rare: float, seed: int) -> pa.Table:
    """Return points of two clusters; `rare` is the fraction of the second."""
    rng = np.random.default_rng(seed)
    second = rng.random(count) < rare
    x = rng.normal(size=(count, 2)) + 1.5 * second[:, None]
    hue = np.where(rng.random(count) < 0.7, second, ~second)
    columns = {"x": x[:, 0].round(3), "y": x[:, 1].round(3), "hue": np.where(hue, "red", "blue")}
    return pa.table({**columns, "kind": np.where(second, "b", "a")})


def test_lift_of_rows_with_a_rare_label_agrees_with_fresh_classifiers(client: TestClient) -> None:
    table, fresh_rows = random_points(3_000, 0.05, 0), random_points(4_000, 0.05, 1)
    out = io.BytesIO()
    pa.csv.write_csv(table, out)
    dataset = create_dataset(out.getvalue(), "points.csv", target="kind")
    options = {"holdout_fraction": 0.4, "evaluate_lift": True, "lift_cpu_seconds": 600}
    job, new = augment(client, dataset, **options)
    csv = client.get(new["links"]["content"]).content
    augmented = pa.csv.read_csv(io.BytesIO(csv)).cast(table.schema)
    provenance = client.get(new["links"]["provenance"]).text.splitlines()
    real = np.flatnonzero([json.loads(line)["source"] == "real" for line in provenance])

    def label_codes(rows: pa.Table) -> NDArray[np.int64]:
        return np.array(rows["kind"].to_pylist()).astype("U1").view(np.uint32).astype(np.int64) - 97

    labels_true = label_codes(fresh_rows)
    train = classifiers.build_tabular_trainer(
        (augmented, label_codes(augmented)),
        (fresh_rows, labels_true),
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
    report = get_report(client, job)
    assert is_within_interval(report, "real", measure_accuracies(train, real, labels_true)), report
    assert is_within_interval(
        report, "transforms", measure_accuracies(train, np.arange(len(augmented)), labels_true)
    ), report
    assert report["lift"]["gain"]["transforms"]["ci95"][0] > 0
