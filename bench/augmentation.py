"""An uneven set is balanced by one job, and what the job says of its worth is held against
classifiers of its own. `python -m bench.augmentation --data FOLDER`.

FOLDER holds fashion_mnist.npz and tables/adult.csv. The service keeps some real items apart and
measures with them; the classifiers here learn with other seeds, and are asked about real items
that the service has never been given.
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
from bench.images import FASHION, commit
from bench.serving import serving
from models.augmentation.classifiers import build_image_trainer, build_tabular_trainer
from models.augmentation.lift import Indices, TrainClassifier, balanced_accuracy
from models.images.data import LabeledImages

RESULTS = Path(__file__).with_name("results") / "augmentation.jsonl"
SEEDS = range(100, 105)  # of the classifiers here; the job has its own
MEASURE_CPU_S = 300  # enough for all rounds, on a core that others use, too

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class EvaluationSets:
    """The sets that the service made, with real items behind them that it was never given: `spare`
    ones to learn from besides, and others to ask about. Places are those of `labels`."""

    labels: Labels
    real_indices: Indices
    synthetic: dict[str, Indices]  # by source; the real ones are in each
    spare_indices: Indices
    truth: Labels  # of those that are asked about
    build_trainer: Callable[
        [int], TrainClassifier
    ]  # from the size of the largest set that is learned from


@dataclass(frozen=True)
class Experiment:
    """What is measured: how the service is given an uneven set, and what lies around it."""

    spec: dict[str, Any]  # of the training
    upload: Callable[[Client, Path], str]
    load_sets: Callable[
        [Client, Sequence[str], Path], EvaluationSets
    ]  # of data sets, one for each of ARMS


VARIANT_SOURCES: dict[str, dict[str, float]] = {  # as the job that measures makes them
    "combined": {"model": 0.5, "transforms": 0.5},
    "transforms": {"transforms": 1},
    "model": {"model": 1},
}

ITEMS_PER_LABEL, RARE_ITEMS, RARE_LABELS = (
    200,
    10,
    (2, 6),
)  # images of a class, of a rare one; pullovers and shirts
SERVICE_TEST_IMAGES, BENCH_TEST_IMAGES = (
    2_000,
    4_000,
)  # test images that the service has, and others


def images(data: Path, cpu_seconds: int) -> Experiment:
    """Some of the test images go up as the test part, so that training need not keep more apart."""
    with np.load(data / FASHION) as arrays:
        x, y, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    given = _first(y, [RARE_ITEMS if k in RARE_LABELS else ITEMS_PER_LABEL for k in range(10)])
    spare = np.setdiff1d(np.arange(len(y)), given)
    asked = slice(SERVICE_TEST_IMAGES, SERVICE_TEST_IMAGES + BENCH_TEST_IMAGES)

    def upload(client: Client, folder: Path) -> str:
        file = folder / "uneven.npz"
        test = {"x_test": x_test[:SERVICE_TEST_IMAGES], "y_test": y_test[:SERVICE_TEST_IMAGES]}
        np.savez(file, x_train=x[given], y_train=y[given], **test)
        return str(client.upload(file)["id"])

    def ground(client: Client, datasets: Sequence[str], folder: Path) -> EvaluationSets:
        made = [_images(client.download_dataset(d, folder / f"{d}.npz")) for d in datasets]
        parts = [*made, (x[spare], y[spare]), (x_test[asked], y_test[asked])]
        labels = np.concatenate([part[1] for part in parts]).astype(np.int64)
        *sets, around, apart = _one_after_another([len(part[1]) for part in parts])
        pixels = np.concatenate([part[0] for part in parts])
        pool = LabeledImages(pixels, labels.astype(np.int32), np.concatenate(sets), apart)
        return EvaluationSets(
            labels,
            _real(client, datasets[0]),
            dict(zip(VARIANT_SOURCES, sets, strict=True)),
            around,
            labels[apart],
            lambda largest: build_image_trainer(pool, 10, largest, lambda: None),
        )

    spec = {"preset": "fast", "budget": {"cpu_seconds": cpu_seconds}, "holdout_fraction": 0.0}
    return Experiment(spec, upload, ground)


def _images(file: Path) -> tuple[NDArray[np.uint8], Labels]:
    with np.load(file) as arrays:
        return arrays["x"], arrays["labels"][arrays["y"]].astype(np.int64)


TARGET, COMMON_VALUE, RARE_VALUE = "income", "<=50K", ">50K"
ROWS_PER_LABEL = (
    6_000,
    300,
)  # rows of each that the service has, of which it keeps this share apart:
HOLDOUT = 0.5
BENCH_TEST_ROWS = 2_000  # of each


def rows(data: Path, _cpu_seconds: int) -> Experiment:
    """Training keeps a share apart, as there is no test part of rows. It lasts as `fast` does."""
    whole, schema = tables.read(data / "tables" / "adult.csv", drop=())
    whole = pa.table({name: _known(whole[name]) for name in whole.column_names})
    labels = pc.equal(whole[TARGET], RARE_VALUE).to_numpy().astype(np.int64)
    given = _first(labels, ROWS_PER_LABEL)
    asked = _first(labels, [n + BENCH_TEST_ROWS for n in ROWS_PER_LABEL])
    spare = np.setdiff1d(np.arange(len(whole)), asked)
    asked = np.setdiff1d(asked, given)

    def upload(client: Client, folder: Path) -> str:
        file = folder / "uneven.csv"
        pa.csv.write_csv(whole.take(given), file)
        return str(client.upload(file, target=TARGET)["id"])

    def ground(client: Client, datasets: Sequence[str], folder: Path) -> EvaluationSets:
        files = [client.download_dataset(d, folder / f"{d}.parquet") for d in datasets]
        made = [pa.parquet.read_table(file).select(whole.column_names) for file in files]
        parts = [*(table.cast(whole.schema) for table in made), whole.take(spare)]
        *sets, around = _one_after_another([len(part) for part in parts])
        pool, real = pa.concat_tables(parts), _real(client, datasets[0])
        mine = pc.equal(pool[TARGET], RARE_VALUE).to_numpy().astype(np.int64)
        learn = build_tabular_trainer(
            (pool, mine),
            (whole.take(asked), labels[asked]),
            schema,
            TARGET,
            real,
            2,
            lambda: None,
        )
        by_source = dict(zip(VARIANT_SOURCES, sets, strict=True))
        return EvaluationSets(mine, real, by_source, around, labels[asked], lambda _largest: learn)

    return Experiment({"preset": "fast", "holdout_fraction": HOLDOUT}, upload, ground)


EXPERIMENTS: dict[str, Callable[[Path, int], Experiment]] = {"image": images, "tabular": rows}


def _first(labels: NDArray[Any], counts: Sequence[int]) -> Indices:
    """The first of each label, in their order."""
    each = [np.flatnonzero(labels == label)[:n] for label, n in enumerate(counts)]
    return np.sort(np.concatenate(each))


def _one_after_another(sizes: Sequence[int]) -> list[Indices]:
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def _known(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A question mark stands for a missing value, as the service takes it."""
    if not pa.types.is_string(values.type):
        return values
    return pc.if_else(pc.equal(values, "?"), None, values)


def _real(client: Client, dataset: str) -> Indices:
    return np.flatnonzero([item["source"] == "real" for item in client.provenance(dataset)])


def run_benchmark(subject: Experiment, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name, serving() as client:
        dataset = subject.upload(client, Path(name))
        training = client.wait(client.train(dataset, seed=seed, **subject.spec)["id"])
        spec = {"model": training["result"]["model"], "seed": seed}
        plan = client.augment(dataset, validate_only=True, **spec)
        measured = {"evaluate_lift": True, "lift_cpu_seconds": MEASURE_CPU_S}
        began = time.monotonic()
        job = client.wait(client.augment(dataset, **measured, **spec)["id"])
        wall_s = time.monotonic() - began
        report = json.loads(client.artifact(job["id"], "augmentation.json"))
        made = [job["result"]["dataset"]]
        for sources in list(VARIANT_SOURCES.values())[1:]:
            other = client.wait(client.augment(dataset, sources=sources, **spec)["id"])
            made.append(other["result"]["dataset"])
        ground = subject.load_sets(client, made, Path(name))
        found = independent_accuracies(ground, report["learning_curve"] or {})
        return {
            "seed": seed,
            "commit": commit(),
            "training_cpu_s": training["usage"]["cpu_s"],
            "plan": {row["name"]: [row[k] for k in PLAN_COLUMNS] for row in plan["labels"]},
            "labels": dict(_counts(client, made[0])),
            "wall_s": round(wall_s, 1),
            "job_cpu_s": job["usage"]["cpu_s"],
            **{
                name: report[name] for name in ("lift", "learning_curve", "recommendation", "cpu_s")
            },
            "independent": found,
            "within": check_intervals(report, found),
        }


PLAN_COLUMNS = ("real", "transforms", "model")


def _counts(client: Client, dataset: str) -> Counter[str]:
    return Counter(f"{item['label']} {item['source']}" for item in client.provenance(dataset))


def independent_accuracies(
    ground: EvaluationSets, learning_curve: Mapping[str, Any]
) -> dict[str, list[float]]:
    """The accuracy of a classifier of each seed, by what it learns from: the real items, these
    repeated to the counts of the whole sets, these sets; and as many more real items as the job
    says that its own set is worth, and as either end of its interval says, or as there are here
    where it says that they are more than its curve tells of."""
    size = max(len(places) for places in ground.synthetic.values())
    sets = {"real": ground.real_indices, "oversampled": _oversampled(ground), **ground.synthetic}
    found = {name: accuracy(ground, size, [p] * len(SEEDS)) for name, p in sets.items()}
    told = learning_curve.get("combined", {"equivalent_real_items": None, "ci95": [None, None]})
    more = dict(zip(REAL_ITEM_KEYS, (told["equivalent_real_items"], *told["ci95"]), strict=True))
    factors = {name: 1 + n / len(ground.real_indices) for name, n in more.items() if n is not None}
    if told["equivalent_real_items"] is None:
        factors["max_real_items"] = _max_factor(ground)
    for name, factor in factors.items():
        if factor <= _max_factor(ground):
            drawn = [_real_subset(ground, factor, np.random.default_rng(seed)) for seed in SEEDS]
            found[name] = accuracy(ground, max(size, len(drawn[0])), drawn)
    return found


REAL_ITEM_KEYS = (
    "equivalent_real_items",
    "equivalent_real_items_low",
    "equivalent_real_items_high",
)


def accuracy(ground: EvaluationSets, largest: int, each: Sequence[Indices]) -> list[float]:
    """`each`: what the classifier of each seed learns from."""
    learn, truth = ground.build_trainer(largest), ground.truth
    pairs = zip(each, SEEDS, strict=True)
    return [float(balanced_accuracy(learn(places, seed), truth)) for places, seed in pairs]


def _oversampled(ground: EvaluationSets) -> Indices:
    labels, real = ground.labels, ground.real_indices
    counts = zip(*np.unique(labels[ground.synthetic["combined"]], return_counts=True), strict=True)
    return np.concatenate([np.resize(real[labels[real] == k], n) for k, n in counts])


def _real_subset(ground: EvaluationSets, factor: float, rng: np.random.Generator) -> Indices:
    """So many times the real items of each label: a part of them, or all and some of the spare."""
    kept = []
    for label in np.unique(ground.labels[ground.real_indices]):
        real, spare = (
            p[ground.labels[p] == label] for p in (ground.real_indices, ground.spare_indices)
        )
        n = round(factor * len(real))
        others = rng.permutation(spare)[: n - len(real)] if n > len(real) else spare[:0]
        kept += [rng.permutation(real)[:n], others]
    return np.concatenate(kept)


def _max_factor(ground: EvaluationSets) -> float:
    real, spare = (
        np.bincount(ground.labels[p]) for p in (ground.real_indices, ground.spare_indices)
    )
    return float(1 + (spare / real).min())


def check_intervals(
    report: dict[str, Any], found: dict[str, list[float]]
) -> dict[str, bool | None]:
    """Whether what the job says is so, as far as its own intervals reach; None: it says nothing
    that could be held against anything here."""
    lift, mean = report["lift"], {name: float(np.mean(f)) for name, f in found.items()}
    if lift is None:
        return {}
    held: dict[str, bool | None] = {
        name: _is_within(mean[name], interval) for name, interval in lift["ci95"].items()
    }
    for arm, gain in lift["gain"].items():
        held[f"gain of {arm}"] = _is_within(mean[arm] - mean["real"], gain["ci95"])
    ends = [mean.get(name) for name in REAL_ITEM_KEYS[1:]]
    # More real items than the upper end are at least as good as the made ones, fewer are not.
    held["learning_curve"] = None
    if any(end is not None for end in ends):
        low, high = ends
        held["learning_curve"] = (low is None or low <= mean["combined"]) and (
            high is None or mean["combined"] <= high
        )
    return held


def _is_within(value: float, interval: Sequence[float]) -> bool:
    return interval[0] <= value <= interval[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--modalities", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--cpu-seconds", type=int, default=60, help="of training on images")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for kind in arguments.modalities:
        subject = EXPERIMENTS[kind](arguments.data, arguments.cpu_seconds)
        for seed in arguments.seeds:
            row = {"modality": kind, **run_benchmark(subject, seed)}
            with RESULTS.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(json.dumps(row, indent=1), flush=True)


if __name__ == "__main__":
    main()
