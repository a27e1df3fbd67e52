"""Benchmark of augmentation: an independent check of the lift that a job reports.

An augmentation job balances an imbalanced dataset and measures the lift on the service's holdout.
This program trains classifiers on the same datasets with other seeds and tests them on real items
that the service has never received. Run `python -m bench.augmentation --data FOLDER`; FOLDER
contains fashion_mnist.npz and tables/adult.csv.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import torch
from numpy.typing import NDArray
from semblance import Client

from bench import tables
from bench.images import DATA_HELP, FASHION, commit
from bench.serving import serving
from models.augmentation.classifiers import build_image_trainer, build_tabular_trainer
from models.augmentation.lift import Indices, TrainClassifier, balanced_accuracy
from models.images.data import LabeledImages

RESULTS = Path(__file__).with_name("results") / "augmentation.jsonl"
SEEDS = range(100, 105)  # of the independent classifiers; the job uses other ones
LIFT_CPU_S = 300  # enough for all rounds, also on a shared core

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class EvaluationSets:
    """The augmented datasets, and real items that the service has never received.

    All items form one pool: the augmented datasets, then spare real items for training. Indices
    refer to the pool; the test items are separate.
    """

    labels: Labels  # of the pool
    real_indices: Indices
    augmented: dict[str, Indices]  # by variant; each contains the real items
    spare_indices: Indices
    truth: Labels  # of the test items
    build_trainer: Callable[[int], TrainClassifier]  # takes the size of the largest training set


@dataclass(frozen=True)
class Experiment:
    """An imbalanced dataset for the service, and the sets to check the result with."""

    spec: dict[str, Any]  # fields of the training job
    upload: Callable[[Client, Path], str]  # returns the id of the dataset
    # Takes the ids of the augmented datasets, one for each of VARIANT_SOURCES.
    load_sets: Callable[[Client, Sequence[str], Path], EvaluationSets]


# `sources` of the augmented datasets. They equal the variants that the job compares.
VARIANT_SOURCES: dict[str, dict[str, float]] = {
    "combined": {"model": 0.5, "transforms": 0.5},
    "transforms": {"transforms": 1},
    "model": {"model": 1},
}

ITEMS_PER_LABEL, RARE_ITEMS = 200, 10
RARE_LABELS = (2, 6)  # pullovers and shirts
SERVICE_TEST_IMAGES, BENCH_TEST_IMAGES = 2_000, 4_000


def images(data: Path, cpu_seconds: int) -> Experiment:
    """Return the experiment with Fashion-MNIST.

    A part of the test images is uploaded as the test split, so training needs no holdout.
    """
    with np.load(data / FASHION) as arrays:
        x, y, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    counts = [RARE_ITEMS if k in RARE_LABELS else ITEMS_PER_LABEL for k in range(10)]
    uploaded = _first_of_each_label(y, counts)
    spare = np.setdiff1d(np.arange(len(y)), uploaded)
    test = slice(SERVICE_TEST_IMAGES, SERVICE_TEST_IMAGES + BENCH_TEST_IMAGES)

    def upload(client: Client, folder: Path) -> str:
        file = folder / "imbalanced.npz"
        split = {"x_test": x_test[:SERVICE_TEST_IMAGES], "y_test": y_test[:SERVICE_TEST_IMAGES]}
        np.savez(file, x_train=x[uploaded], y_train=y[uploaded], **split)
        return str(client.upload(file)["id"])

    def load_sets(client: Client, datasets: Sequence[str], folder: Path) -> EvaluationSets:
        augmented = [
            _read_images(client.download_dataset(d, folder / f"{d}.npz")) for d in datasets
        ]
        parts = [*augmented, (x[spare], y[spare]), (x_test[test], y_test[test])]
        labels = np.concatenate([part[1] for part in parts]).astype(np.int64)
        *sets, spare_indices, test_indices = _consecutive_indices([len(part[1]) for part in parts])
        pixels = np.concatenate([part[0] for part in parts])
        pool = LabeledImages(pixels, labels.astype(np.int32), np.concatenate(sets), test_indices)
        return EvaluationSets(
            labels,
            _real_indices(client, datasets[0]),
            dict(zip(VARIANT_SOURCES, sets, strict=True)),
            spare_indices,
            labels[test_indices],
            lambda largest: build_image_trainer(pool, 10, largest, lambda: None),
        )

    spec = {"preset": "fast", "budget": {"cpu_seconds": cpu_seconds}, "holdout_fraction": 0.0}
    return Experiment(spec, upload, load_sets)


def _read_images(file: Path) -> tuple[NDArray[np.uint8], Labels]:
    with np.load(file) as arrays:
        return arrays["x"], arrays["labels"][arrays["y"]].astype(np.int64)


TARGET, COMMON_VALUE, RARE_VALUE = "income", "<=50K", ">50K"
ROWS_PER_LABEL = (6_000, 300)  # uploaded rows of the common and of the rare label
HOLDOUT_FRACTION = 0.5  # of the uploaded rows
BENCH_TEST_ROWS = 2_000  # of each label


def rows(data: Path, _cpu_seconds: int) -> Experiment:
    """Return the experiment with Adult.

    Tables have no test split, so training needs a holdout. The budget is that of `fast`.
    """
    whole, schema = tables.read(data / "tables" / "adult.csv", drop=())
    whole = pa.table({name: _question_mark_to_null(whole[name]) for name in whole.column_names})
    labels = pc.equal(whole[TARGET], RARE_VALUE).to_numpy().astype(np.int64)
    uploaded = _first_of_each_label(labels, ROWS_PER_LABEL)
    used = _first_of_each_label(labels, [n + BENCH_TEST_ROWS for n in ROWS_PER_LABEL])
    spare = np.setdiff1d(np.arange(len(whole)), used)
    test = np.setdiff1d(used, uploaded)

    def upload(client: Client, folder: Path) -> str:
        file = folder / "imbalanced.csv"
        pa.csv.write_csv(whole.take(uploaded), file)
        return str(client.upload(file, target=TARGET)["id"])

    def load_sets(client: Client, datasets: Sequence[str], folder: Path) -> EvaluationSets:
        files = [client.download_dataset(d, folder / f"{d}.parquet") for d in datasets]
        augmented = [pa.parquet.read_table(file).select(whole.column_names) for file in files]
        parts = [*(table.cast(whole.schema) for table in augmented), whole.take(spare)]
        *sets, spare_indices = _consecutive_indices([len(part) for part in parts])
        pool, real = pa.concat_tables(parts), _real_indices(client, datasets[0])
        pool_labels = pc.equal(pool[TARGET], RARE_VALUE).to_numpy().astype(np.int64)
        train_classifier = build_tabular_trainer(
            (pool, pool_labels),
            (whole.take(test), labels[test]),
            schema,
            TARGET,
            real,
            2,
            lambda: None,
        )
        return EvaluationSets(
            pool_labels,
            real,
            dict(zip(VARIANT_SOURCES, sets, strict=True)),
            spare_indices,
            labels[test],
            lambda _largest: train_classifier,
        )

    spec = {"preset": "fast", "holdout_fraction": HOLDOUT_FRACTION}
    return Experiment(spec, upload, load_sets)


EXPERIMENTS: dict[str, Callable[[Path, int], Experiment]] = {"image": images, "tabular": rows}


def _first_of_each_label(labels: NDArray[Any], counts: Sequence[int]) -> Indices:
    """Return the indices of the first items of each label, in ascending order."""
    by_label = [np.flatnonzero(labels == label)[:n] for label, n in enumerate(counts)]
    return np.sort(np.concatenate(by_label))


def _consecutive_indices(sizes: Sequence[int]) -> list[Indices]:
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def _question_mark_to_null(values: pa.ChunkedArray) -> pa.ChunkedArray:
    # The service reads a question mark as a missing value, too.
    if not pa.types.is_string(values.type):
        return values
    return pc.if_else(pc.equal(values, "?"), None, values)


def _real_indices(client: Client, dataset: str) -> Indices:
    return np.flatnonzero([item["source"] == "real" for item in client.read_provenance(dataset)])


def run_benchmark(experiment: Experiment, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name, serving() as client:
        dataset = experiment.upload(client, Path(name))
        training = client.wait(client.train(dataset, seed=seed, **experiment.spec)["id"])
        spec = {"model": training["result"]["model"], "seed": seed}
        plan = client.augment(dataset, validate_only=True, **spec)
        lift_spec = {"evaluate_lift": True, "lift_cpu_seconds": LIFT_CPU_S}
        started = time.monotonic()
        job = client.wait(client.augment(dataset, **lift_spec, **spec)["id"])
        wall_s = time.monotonic() - started
        report = client.read_artifact(job["id"], "augmentation.json")
        augmented = [job["result"]["dataset"]]
        for sources in list(VARIANT_SOURCES.values())[1:]:
            variant_job = client.wait(client.augment(dataset, sources=sources, **spec)["id"])
            augmented.append(variant_job["result"]["dataset"])
        sets = experiment.load_sets(client, augmented, Path(name))
        accuracies = independent_accuracies(sets, report["learning_curve"] or {})
        return {
            "seed": seed,
            "commit": commit(),
            "training_cpu_s": training["usage"]["cpu_s"],
            "plan": {row["name"]: [row[k] for k in PLAN_COLUMNS] for row in plan["labels"]},
            "labels": dict(_counts(client, augmented[0])),
            "wall_s": round(wall_s, 1),
            "job_cpu_s": job["usage"]["cpu_s"],
            **{name: report[name] for name in REPORT_KEYS},
            "independent": accuracies,
            "within": check_intervals(report, accuracies),
        }


PLAN_COLUMNS = ("real", "transforms", "model")
REPORT_KEYS = ("lift", "learning_curve", "recommendation", "cpu_s")


def _counts(client: Client, dataset: str) -> Counter[str]:
    return Counter(f"{item['label']} {item['source']}" for item in client.read_provenance(dataset))


def independent_accuracies(
    sets: EvaluationSets, learning_curve: Mapping[str, Any]
) -> dict[str, list[float]]:
    """Return the accuracy of a classifier of each seed, by training set.

    The training sets are the real items, the real items oversampled to the label counts of the
    augmented dataset, the augmented datasets, and the real items plus as many more as the job calls
    equivalent (also for both ends of its interval). If the job gives no such number, all available
    real items are used.
    """
    size = max(len(indices) for indices in sets.augmented.values())
    variants = {"real": sets.real_indices, "oversampled": _oversampled(sets), **sets.augmented}
    accuracies = {name: accuracy(sets, size, [p] * len(SEEDS)) for name, p in variants.items()}
    worth = learning_curve.get("combined", {"equivalent_real_items": None, "ci95": [None, None]})
    extra = dict(zip(REAL_ITEM_KEYS, (worth["equivalent_real_items"], *worth["ci95"]), strict=True))
    factors = {name: 1 + n / len(sets.real_indices) for name, n in extra.items() if n is not None}
    if worth["equivalent_real_items"] is None:
        factors["max_real_items"] = _max_factor(sets)
    for name, factor in factors.items():
        if factor <= _max_factor(sets):
            subsets = [_real_subset(sets, factor, np.random.default_rng(seed)) for seed in SEEDS]
            accuracies[name] = accuracy(sets, max(size, len(subsets[0])), subsets)
    return accuracies


REAL_ITEM_KEYS = (
    "equivalent_real_items",
    "equivalent_real_items_low",
    "equivalent_real_items_high",
)


def accuracy(sets: EvaluationSets, largest: int, training_sets: Sequence[Indices]) -> list[float]:
    """Return the balanced accuracy for each of SEEDS, with one training set for each seed."""
    train_classifier, truth = sets.build_trainer(largest), sets.truth
    return [
        float(balanced_accuracy(train_classifier(indices, seed), truth))
        for indices, seed in zip(training_sets, SEEDS, strict=True)
    ]


def _oversampled(sets: EvaluationSets) -> Indices:
    labels, real = sets.labels, sets.real_indices
    counts = zip(*np.unique(labels[sets.augmented["combined"]], return_counts=True), strict=True)
    return np.concatenate([np.resize(real[labels[real] == k], n) for k, n in counts])


def _real_subset(sets: EvaluationSets, factor: float, rng: np.random.Generator) -> Indices:
    """Return `factor` times the number of real items of each label.

    Above 1, spare items are added.
    """
    selected = []
    for label in np.unique(sets.labels[sets.real_indices]):
        real, spare = (p[sets.labels[p] == label] for p in (sets.real_indices, sets.spare_indices))
        n = round(factor * len(real))
        extra = rng.permutation(spare)[: n - len(real)] if n > len(real) else spare[:0]
        selected += [rng.permutation(real)[:n], extra]
    return np.concatenate(selected)


def _max_factor(sets: EvaluationSets) -> float:
    real, spare = (np.bincount(sets.labels[p]) for p in (sets.real_indices, sets.spare_indices))
    return float(1 + (spare / real).min())


def check_intervals(
    report: dict[str, Any], accuracies: dict[str, list[float]]
) -> dict[str, bool | None]:
    """Return True for each interval of the job's report that contains the independent result.

    None means that the report has no interval to check.
    """
    lift, mean = report["lift"], {name: float(np.mean(f)) for name, f in accuracies.items()}
    if lift is None:
        return {}
    is_within: dict[str, bool | None] = {
        name: _is_within(mean[name], interval) for name, interval in lift["ci95"].items()
    }
    for variant, gain in lift["gain"].items():
        is_within[f"gain of {variant}"] = _is_within(mean[variant] - mean["real"], gain["ci95"])
    ends = [mean.get(name) for name in REAL_ITEM_KEYS[1:]]
    # The accuracy of the combined dataset must lie between those of real datasets that are larger
    # by the lower and by the upper end of the interval.
    is_within["learning_curve"] = None
    if any(end is not None for end in ends):
        low, high = ends
        is_within["learning_curve"] = (low is None or low <= mean["combined"]) and (
            high is None or mean["combined"] <= high
        )
    return is_within


def _is_within(value: float, interval: Sequence[float]) -> bool:
    return interval[0] <= value <= interval[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=DATA_HELP)
    parser.add_argument("--modalities", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument(
        "--cpu-seconds", type=int, default=60, help="Training budget for images. Default: 60."
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for modality in arguments.modalities:
        experiment = EXPERIMENTS[modality](arguments.data, arguments.cpu_seconds)
        for seed in arguments.seeds:
            row = {"modality": modality, **run_benchmark(experiment, seed)}
            with RESULTS.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(json.dumps(row, indent=1), flush=True)


if __name__ == "__main__":
    main()
