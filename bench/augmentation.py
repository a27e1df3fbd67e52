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
from functools import partial
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
from models.augmentation.learners import of_images, of_rows
from models.augmentation.lift import Learn, Places, balanced
from models.images.data import LabelledImages

RESULTS = Path(__file__).with_name("results") / "augmentation.jsonl"
SEEDS = range(100, 105)  # of the classifiers here; the job has its own

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Ground:
    """The set that the service made, with real items behind it that it was never given: `spare`
    ones to learn from besides, and others to ask about. Places are those of `labels`."""

    labels: Labels
    real: Places
    made: Places  # all of the service's set, the real ones too
    spare: Places
    truth: Labels  # of those that are asked about
    learner: Callable[[int], Learn]  # from the size of the largest set that is learned from


@dataclass(frozen=True)
class Subject:
    """What is measured: how the service is given an uneven set, and what lies around it."""

    spec: dict[str, Any]  # of the training
    upload: Callable[[Client, Path], str]
    ground: Callable[[Client, str, Path], Ground]


EACH, FEW, RARE = 200, 10, (2, 6)  # images of a class, of a rare one; pullovers and shirts
SERVED, ASKED = 2_000, 4_000  # test images that the service has, and others


def images(data: Path, cpu_seconds: int) -> Subject:
    """Some of the test images go up as the test part, so that training need not keep more apart."""
    with np.load(data / FASHION) as arrays:
        x, y, x_test, y_test = (arrays[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    given = _first(y, [FEW if k in RARE else EACH for k in range(10)])
    spare = np.setdiff1d(np.arange(len(y)), given)
    asked = slice(SERVED, SERVED + ASKED)

    def upload(client: Client, folder: Path) -> str:
        file = folder / "uneven.npz"
        test = {"x_test": x_test[:SERVED], "y_test": y_test[:SERVED]}
        np.savez(file, x_train=x[given], y_train=y[given], **test)
        return str(client.upload(file)["id"])

    def ground(client: Client, dataset: str, folder: Path) -> Ground:
        file = client.save_dataset(dataset, folder / "made.npz")
        with np.load(file) as arrays:
            x_made, y_made = arrays["x"], arrays["labels"][arrays["y"]].astype(np.int64)
        n, parts = len(x_made), (y_made, y[spare], y_test[asked])
        labels = np.concatenate(parts).astype(np.int64)
        pool = LabelledImages(
            np.concatenate([x_made, x[spare], x_test[asked]]),
            labels.astype(np.int32),
            np.arange(n),
            np.arange(len(labels) - ASKED, len(labels)),
        )
        return Ground(
            labels,
            _real(client, dataset),
            np.arange(n),
            n + np.arange(len(spare)),
            labels[pool.held_out],
            lambda largest: of_images(pool, 10, largest, lambda: None),
        )

    spec = {"preset": "fast", "budget": {"cpu_seconds": cpu_seconds}, "holdout": 0.0}
    return Subject(spec, upload, ground)


TARGET, COMMON, UNUSUAL = "income", "<=50K", ">50K"
GIVEN = (6_000, 300)  # rows of each that the service has, of which it keeps this share apart:
HOLDOUT = 0.5
ASKED_ROWS = 2_000  # of each


def rows(data: Path, _cpu_seconds: int) -> Subject:
    """Training keeps a share apart, as there is no test part of rows. It lasts as `fast` does."""
    whole, schema = tables.read(data / "tables" / "adult.csv", drop=())
    whole = pa.table({name: _known(whole[name]) for name in whole.column_names})
    labels = pc.equal(whole[TARGET], UNUSUAL).to_numpy().astype(np.int64)
    given = _first(labels, GIVEN)
    asked = _first(labels, [n + ASKED_ROWS for n in GIVEN])
    spare = np.setdiff1d(np.arange(len(whole)), asked)
    asked = np.setdiff1d(asked, given)

    def upload(client: Client, folder: Path) -> str:
        file = folder / "uneven.csv"
        pa.csv.write_csv(whole.take(given), file)
        return str(client.upload(file, target=TARGET)["id"])

    def ground(client: Client, dataset: str, folder: Path) -> Ground:
        file = client.save_dataset(dataset, folder / "made.parquet")
        made = pa.parquet.read_table(file).select(whole.column_names).cast(whole.schema)
        n, real = len(made), _real(client, dataset)
        pool = pa.concat_tables([made, whole.take(spare)])
        mine = pc.equal(pool[TARGET], UNUSUAL).to_numpy().astype(np.int64)
        learn = of_rows(
            (pool, mine),
            (whole.take(asked), labels[asked]),
            schema,
            TARGET,
            real,
            2,
            lambda: None,
        )
        around = n + np.arange(len(spare))
        return Ground(mine, real, np.arange(n), around, labels[asked], lambda _largest: learn)

    return Subject({"preset": "fast", "holdout": HOLDOUT}, upload, ground)


SUBJECTS: dict[str, Callable[[Path, int], Subject]] = {"images": images, "rows": rows}


def _first(labels: NDArray[Any], counts: Sequence[int]) -> Places:
    """The first of each label, in their order."""
    each = [np.flatnonzero(labels == label)[:n] for label, n in enumerate(counts)]
    return np.sort(np.concatenate(each))


def _known(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A question mark stands for a missing value, as the service takes it."""
    if not pa.types.is_string(values.type):
        return values
    return pc.if_else(pc.equal(values, "?"), None, values)


def _real(client: Client, dataset: str) -> Places:
    return np.flatnonzero([item["source"] == "real" for item in client.recipes(dataset)])


def measure(subject: Subject, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name, serving() as client:
        folder = Path(name)
        dataset = subject.upload(client, folder)
        training = client.wait(client.train(dataset, seed=seed, **subject.spec)["id"])
        spec = {"model": training["result"]["model"], "seed": seed, "measure_lift": True}
        plan = client.augment(dataset, validate_only=True, **spec)
        began = time.monotonic()
        job = client.wait(client.augment(dataset, **spec)["id"])
        wall_s = time.monotonic() - began
        report = json.loads(client.artifact(job["id"], "augmentation.json"))
        made = job["result"]["dataset"]
        found = independent(subject.ground(client, made, folder), report["worth"] or {})
        return {
            "seed": seed,
            "commit": commit(),
            "training_cpu_s": training["usage"]["cpu_s"],
            "plan": {row["name"]: [row[k] for k in KINDS] for row in plan["labels"]},
            "labels": dict(_counts(client, made)),
            "wall_s": round(wall_s, 1),
            "job_cpu_s": job["usage"]["cpu_s"],
            **{name: report[name] for name in ("lift", "worth", "recommendation", "cpu_s")},
            "independent": found,
            "within": within(report, found),
        }


KINDS = ("have", "classical", "gan")


def _counts(client: Client, dataset: str) -> Counter[str]:
    return Counter(f"{item['label']} {item['source']}" for item in client.recipes(dataset))


def independent(ground: Ground, worth: Mapping[str, Any]) -> dict[str, list[float]]:
    """The accuracy of a classifier of each seed: of the real items, of these repeated to the counts
    of the whole set, of the whole set; and of as many more real items as the job says that it is
    worth, and as either end of its interval says."""
    size = len(ground.made)
    found = {
        "real_only": accuracy(ground, size, lambda _rng: ground.real),
        "repeated": accuracy(ground, size, lambda _rng: _repeated(ground)),
        "both": accuracy(ground, size, lambda _rng: ground.made),
    }
    told = worth.get("both", {"more_real": None, "ci95": [None, None]})
    numbers = zip(MORE, (told["more_real"], *told["ci95"]), strict=True)
    for name, more in numbers:
        if more is not None and (factor := 1 + more / len(ground.real)) <= _furthest(ground):
            largest = max(size, len(ground.real) + more)
            found[name] = accuracy(ground, largest, partial(_more, ground, factor))
    return found


MORE = ("more_real", "more_real_low", "more_real_high")


def accuracy(
    ground: Ground, largest: int, places: Callable[[np.random.Generator], Places]
) -> list[float]:
    """`places`: what a seed's classifier learns from. Every seed draws further real items anew."""
    learn = ground.learner(largest)
    return [
        float(balanced(learn(places(np.random.default_rng(seed)), seed), ground.truth))
        for seed in SEEDS
    ]


def _repeated(ground: Ground) -> Places:
    labels, real = ground.labels, ground.real
    counts = zip(*np.unique(labels[ground.made], return_counts=True), strict=True)
    return np.concatenate([np.resize(real[labels[real] == k], n) for k, n in counts])


def _more(ground: Ground, factor: float, rng: np.random.Generator) -> Places:
    """So many times the real items of each label: a part of them, or all and some of the spare."""
    kept = []
    for label in np.unique(ground.labels[ground.real]):
        real, spare = (p[ground.labels[p] == label] for p in (ground.real, ground.spare))
        n = round(factor * len(real))
        others = rng.permutation(spare)[: n - len(real)] if n > len(real) else spare[:0]
        kept += [rng.permutation(real)[:n], others]
    return np.concatenate(kept)


def _furthest(ground: Ground) -> float:
    real, spare = (np.bincount(ground.labels[p]) for p in (ground.real, ground.spare))
    return float(1 + (spare / real).min())


def within(report: dict[str, Any], found: dict[str, list[float]]) -> dict[str, bool | None]:
    """Whether what the job says is so, as far as its own intervals reach; None: it says nothing
    that could be held against anything here."""
    lift, mean = report["lift"], {name: float(np.mean(f)) for name, f in found.items()}
    if lift is None:
        return {}
    held: dict[str, bool | None] = {
        name: _lies(mean[name], lift["ci95"][name]) for name in ("real_only", "repeated", "both")
    }
    for arm in ("repeated", "both"):
        gain = mean[arm] - mean["real_only"]
        held[f"gain of {arm}"] = _lies(gain, lift["gain"][arm]["ci95"])
    ends = [mean.get(name) for name in MORE[1:]]
    # More real items than the upper end are at least as good as the made ones, fewer are not.
    held["worth"] = None
    if any(end is not None for end in ends):
        low, high = ends
        held["worth"] = (low is None or low <= mean["both"]) and (
            high is None or mean["both"] <= high
        )
    return held


def _lies(value: float, interval: Sequence[float]) -> bool:
    return interval[0] <= value <= interval[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--cpu-seconds", type=int, default=60, help="of training on images")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for kind in arguments.kinds:
        subject = SUBJECTS[kind](arguments.data, arguments.cpu_seconds)
        for seed in arguments.seeds:
            row = {"kind": kind, **measure(subject, seed)}
            with RESULTS.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(json.dumps(row, indent=1), flush=True)


if __name__ == "__main__":
    main()
