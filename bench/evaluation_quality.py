"""Do the measures tell good samples from bad ones? `python -m bench.evaluation_quality --data … --cache …`.

DATA is a folder with Fashion-MNIST and digits as for bench.images, and `tables` with Adult as for
bench.tables. Of each set, a service of its own trains a good model and one of a few steps, and
reports on the good one twice, the second time with the stored evaluation classifier: what the reports
cost is what their jobs say. Then the same measures look at these kinds of samples:

- real: items that neither training nor the measures know
- good, under-trained: of the two models
- collapsed: one item of each label that training has not seen, again and again
- naive: a Gaussian of all pixels for each label; columns drawn each by itself
- pixelwise: images whose pixels are drawn each by itself, for each label (of images only)
- memorizer: training items, as they are

With `--judge-images` and `--judge-tables` (programs as for bench.images and bench.tables), judges
of others look at the same samples of the good model. So do our measures with another seed, for
images with another evaluation classifier: what two of ours differ by is no disagreement.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from numpy.typing import NDArray
from semblance import Client

from bench.images import commit
from bench.images import run_judge as judge_images
from bench.serving import serving
from bench.tables import Row as Table
from bench.tables import read, split
from bench.tables import run_judge as judge_rows
from models.images.data import LabeledImages
from models.metrics import baselines
from models.metrics import image_evaluation as of_images
from models.metrics import tabular_evaluation as of_rows
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.scores import Score
from models.metrics.verdict import verdict_of
from models.tabular.data import LabeledRows

RESULTS = Path(__file__).with_name("results") / "evaluation_quality.jsonl"
FIGURES = Path(__file__).with_name("evaluation_quality.md")

ADULT = Table("adult", "income", 24_000)
KINDS = ("real", "good", "under-trained", "collapsed", "naive", "pixelwise", "memorizer")

Samples = tuple[NDArray[np.uint8], NDArray[np.int64]]
Spec = dict[str, Any]  # of a training job


@dataclass(frozen=True)
class Images:
    """A set of images; `apart` of its training images are for `real` samples alone."""

    name: str
    real_items: int
    samples: int
    cpu_seconds: float
    short_steps: int


SETS = (Images("digits", 400, 1_000, 30, 20), Images("fashion_mnist", 10_000, 10_000, 500, 60))


def evaluate_image_set(row: Images, arguments: argparse.Namespace) -> dict[str, Any]:
    with np.load(arguments.data / f"{row.name}.npz") as arrays:
        x, y = arrays["x_train"], arrays["y_train"].astype(np.int64)
        x_test, y_test = arrays["x_test"], arrays["y_test"]
    order = np.random.default_rng(0).permutation(len(x))
    apart, learned = order[: row.real_items], order[row.real_items :]
    classes = int(y.max()) + 1
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        real = folder / "real.npz"
        parts = {"x_train": x[learned], "y_train": y[learned], "x_test": x_test, "y_test": y_test}
        np.savez(real, **parts)
        with serving() as client:
            dataset = client.upload(real, name=row.name)["id"]
            spec: Spec = {"budget": {"cpu_seconds": row.cpu_seconds}, "early_stopping": False}
            models = train_models(client, dataset, spec, row.short_steps)
            costs = measure_reports(client, models["good"], row.samples)
            files = {}
            for kind, model in models.items():
                files[kind] = folder / f"{kind}.npz"
                client.download_samples(model, files[kind], count=row.samples, seed=1_001)
        made = {
            "real": (x[apart], y[apart]),
            **{kind: load_samples(file) for kind, file in files.items()},
        }
        made |= sample_degraded(x[learned], y[learned], row.samples, classes)
        made["collapsed"] = sample_collapsed(*made["real"], row.samples, classes)
        pixels = np.concatenate([x[learned], x_test])
        labels = np.concatenate([y[learned], y_test]).astype(np.int32)
        places = np.arange(len(pixels))
        data = LabeledImages(pixels, labels, places[: len(learned)], places[len(learned) :])
        names = [str(label) for label in range(classes)]
        yardsticks = [
            EvaluationClassifier.fit(data, classes, check_stop, seed=seed) for seed in range(2)
        ]

        @cache
        def judged(kind: str, seed: int = 0) -> list[Score]:
            found = of_images.evaluate(
                yardsticks[seed], data, made[kind], names, seed=seed, check_stop=check_stop
            )
            return found.scores

        found = {"row": row.name, "commit": commit(), **costs, **evaluate_kinds(made, judged)}
        if arguments.judge_images:
            ours = judged("good"), judged("good", 1)
            theirs = judge_images(arguments.judge_images, real, files["good"], arguments.cache)
            found["agreement"] = compare_judges(ours, theirs)
    return found


def load_samples(file: Path) -> Samples:
    with np.load(file) as arrays:
        return arrays["x"], arrays["y"].astype(np.int64)


def sample_collapsed(
    x: NDArray[np.uint8], y: NDArray[np.int64], count: int, classes: int
) -> Samples:
    labels = np.arange(count) % classes
    first = np.array([np.flatnonzero(y == label)[0] for label in range(classes)])
    return x[first[labels]], labels


def sample_degraded(
    x: NDArray[np.uint8], y: NDArray[np.int64], count: int, classes: int
) -> dict[str, Samples]:
    """Samples that need no model, of the training images."""
    rng = np.random.default_rng(1)
    labels = np.arange(count) % classes
    replayed = rng.choice(len(x), count)
    some = rng.permutation(len(x))[:20_000]
    images, of = LabeledImages(x, y.astype(np.int32), some, some).batch(some)
    drawn = baselines.sample_gaussians(images, of, torch.from_numpy(labels), seed=2)
    pixels = ((drawn + 1) * 127.5).round().byte().permute(0, 2, 3, 1).squeeze(3).numpy()
    return {
        "naive": (pixels, labels),
        "pixelwise": (sample_pixelwise(x, y, labels, rng), labels),
        "memorizer": (x[replayed], y[replayed]),
    }


def sample_pixelwise(
    x: NDArray[np.uint8], y: NDArray[np.int64], labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Each pixel comes from another image of the label."""
    of_label = {label: np.flatnonzero(y == label) for label in np.unique(labels)}
    drawn = np.empty((len(labels), *x.shape[1:]), np.uint8)
    for place, label in enumerate(labels):
        chosen = rng.choice(of_label[label], x.shape[1:])
        drawn[place] = np.take_along_axis(x, chosen[None], 0)[0]
    return drawn


def evaluate_table(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        train_file, test_file = split(ADULT, arguments.data / "tables", folder)
        learned, schema = read(train_file, ADULT.drop)
        unseen = read(test_file, ADULT.drop)[0]
        half = len(unseen) // 2
        with serving() as client:
            dataset = client.upload(train_file, target=ADULT.target)["id"]
            models = train_models(client, dataset, {}, 10)
            costs = measure_reports(client, models["good"], len(learned))
            files = {}
            for kind, model in models.items():
                files[kind] = folder / f"{kind}.csv"
                client.download_samples(model, files[kind], count=len(learned), seed=1_001)
        rng = np.random.default_rng(1)
        columns = {n: np.asarray(learned[n].to_numpy()) for n in learned.column_names}
        replayed = learned.take(pa.array(rng.choice(len(learned), len(learned))))
        labels = unseen.slice(half)[ADULT.target].to_pylist()
        firsts = [labels.index(label) for label in sorted(set(labels))]
        made = {
            "real": unseen.slice(half),
            **{kind: read(file, ADULT.drop)[0] for kind, file in files.items()},
            "collapsed": unseen.slice(half).take(pa.array(np.resize(firsts, len(learned)))),
            "naive": pa.table(baselines.sample_independent(columns, len(learned), 2)),
            "memorizer": replayed,
        }

        def beside(held_out: pa.Table) -> LabeledRows:
            table, n = pa.concat_tables([learned, held_out]), len(learned)
            places = np.arange(len(table))
            return LabeledRows(table, tuple(schema), ADULT.target, places[:n], places[n:])

        data = beside(unseen.slice(0, half))

        def judged(kind: str) -> list[Score]:
            return of_rows.evaluate(data, made[kind], seed=0, check_stop=check_stop).scores

        found = {"row": ADULT.name, "commit": commit(), **costs, **evaluate_kinds(made, judged)}
        if arguments.judge_tables:
            program = argparse.Namespace(
                judge=arguments.judge_tables, interpreter=arguments.interpreter
            )
            theirs = judge_rows(ADULT, program, train_file, test_file, files["good"])
            whole = beside(unseen)
            ours = [
                of_rows.evaluate(whole, made["good"], seed=seed, check_stop=check_stop).scores
                for seed in range(2)
            ]
            found["agreement"] = compare_judges(ours, theirs)
    return found


def check_stop() -> None:
    """Nothing stops a benchmark."""


def train_models(client: Client, dataset: str, good: Spec, few_steps: int) -> dict[str, str]:
    models = {}
    for kind, spec in (("good", good), ("under-trained", {**good, "budget": {"steps": few_steps}})):
        job = client.train(dataset, preset="fast", seed=1, name=kind, **spec)
        models[kind] = client.wait(job["id"])["result"]["model"]
    return models


def measure_reports(client: Client, model: str, samples: int) -> dict[str, float]:
    """CPU-seconds of the first report and of a second one."""
    found = {}
    for name in ("first_report_cpu_s", "second_report_cpu_s"):
        body = {"kind": "evaluation", "model": model, "samples": samples, "seed": 2}
        job = client.request("POST", "/v1/jobs", json=body).json()
        found[name] = client.wait(job["id"])["usage"]["cpu_s"]
    return found


def evaluate_kinds(
    sample_sets: Iterable[str], judged: Callable[[str], list[Score]]
) -> dict[str, Any]:
    kinds, costs = {}, []
    for kind in (kind for kind in KINDS if kind in sample_sets):
        started = time.process_time()
        scores = judged(kind)
        costs.append(time.process_time() - started)
        kinds[kind] = {"scores": {score.name: score.to_dict() for score in scores}}
        print(kind, verdict_of(scores), flush=True)
    return {"kinds": kinds, "measures_cpu_s": [round(cost, 1) for cost in costs]}


NAIVE = ("naive", "pixelwise")
# What a clearly worse kind of samples is for each measure: its interval is beyond that of the good
# model's. Who replays or repeats real items is precise; columns drawn by themselves have the right
# marginals; naive images of garments show their label.
EXPECTED_WORSE = {
    "frechet_distance": ("under-trained", "collapsed", *NAIVE),
    "kernel_distance": ("under-trained", "collapsed", *NAIVE),
    "precision": ("under-trained",),
    "recall": ("under-trained", "collapsed"),
    "density": ("under-trained",),
    "coverage": ("under-trained", "collapsed", *NAIVE),
    "detection_auc": ("under-trained", "collapsed", *NAIVE),
    "detection_accuracy": ("under-trained", "collapsed", *NAIVE),
    "label_accuracy": ("under-trained",),
    "tstr_score": ("under-trained", "collapsed", *NAIVE),
    "near_duplicate_rate": ("memorizer",),
    "memorization_rate": ("memorizer",),
    "marginal_tvd": ("under-trained", "collapsed"),
    "pairwise_tvd": ("under-trained", "collapsed", *NAIVE),
    "dcr_share": ("memorizer",),
    "exact_match_rate": ("memorizer",),
    "membership_inference_auc": ("memorizer",),
    "membership_inference_tpr_at_1pct_fpr": ("memorizer",),
    "unique_rate": ("collapsed",),
}
EXPECTED_VERDICTS = {
    "real": ("good",),
    "good": ("good",),
    "under-trained": ("poor", "collapsed"),
    "collapsed": ("collapsed",),
    "naive": ("poor",),
    "pixelwise": ("poor",),
    "memorizer": ("memorized",),
}
JUDGE_SCORE_NAMES = {
    "label_accuracy": "label_fidelity",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "frechet_distance": "feature_frechet",
    "near_duplicate_rate": "near_copies",
    "marginal_tvd": "one_way_tv",
    "pairwise_tvd": "two_way_tv",
    "detection_auc": "told_apart",
    "dcr_share": "dcr_share",
    "exact_match_rate": "exact_copies",
}
MAX_CPU_S = {
    "fashion_mnist": {"first_report_cpu_s": 120, "second_report_cpu_s": 60},
    "adult": {"first_report_cpu_s": 30, "second_report_cpu_s": 30},
}


def failed_checks(result: dict[str, Any]) -> list[str]:
    """Where a measure does not order, a verdict is wrong or a report costs too much."""
    kinds = result["kinds"]
    scores = {kind: found["scores"] for kind, found in kinds.items()}
    found = [
        f"{kind} is called {verdict_name(judged)}"
        for kind, judged in kinds.items()
        if verdict_name(judged) not in EXPECTED_VERDICTS[kind]
    ]
    for name, good in scores["good"].items():
        found += [
            f"{name} does not tell {worse} from good"
            for worse in EXPECTED_WORSE[name]
            if worse in scores and badness(scores[worse][name])[0] <= badness(good)[1]
        ]
        # Fewer near copies than chance makes are no virtue: smooth images have them.
        is_privacy = EXPECTED_WORSE[name] == ("memorizer",)
        if not is_privacy and badness(scores["real"][name])[0] > badness(good)[1]:
            found += [f"{name} has real samples worse than good ones"]
    found += [
        f"{name} is {result[name]:.0f}, over {most}"
        for name, most in MAX_CPU_S.get(result["row"], {}).items()
        if result[name] > most
    ]
    found += [
        f"{name} is not what another judge says"
        for name, row in result.get("agreement", {}).items()
        if abs(row["ours"] - row["another_judge"]) > _noise(row)
    ]
    return found


def verdict_name(judged: dict[str, Any]) -> str:
    """What today's rules make of the scores."""
    return verdict_of([Score(**score) for score in judged["scores"].values()]).verdict


def _noise(row: dict[str, float]) -> float:
    """Of the samples, and of which classifier looked at them."""
    return row["half"] + abs(row["ours"] - row["another_seed"])


def badness(score: dict[str, Any]) -> tuple[float, float]:
    """An interval, larger is worse. Nobody is too seldom told apart or nearest to training rows."""
    low, high = score["ci95"]
    return (-high, -low) if score["direction"] == "higher" else (low, high)


def render_markdown(results: list[dict[str, Any]]) -> str:
    """The newest result of each set."""
    lines = [
        "# Scores of good and bad samples",
        "",
        "`python -m bench.evaluation_quality` says how the samples are made and appends to "
        "`results/evaluation_quality.jsonl`. Each figure with half its 95 % interval; in **bold** the kinds "
        "that should lie beyond the interval of the good model. Of digits of 8 x 8 pixels a "
        "classifier learns as much from a Gaussian of each label as from real ones: `tstr_score` cannot "
        "tell these apart.",
        "",
        "What the measures say of the good model's samples is held against another judge's word. "
        "It may differ by half the interval and by what another seed changes. Label accuracy is "
        "lower here, as this classifier learns for a shorter time: it names fewer unseen real ones "
        "right, too. Marginals and pairs are larger, as a value that fills more than a bin has one "
        "of its own: of a column that is mostly 0, what is above it is not the same.",
    ]
    for result in {result["row"]: result for result in results}.values():
        kinds = result["kinds"]
        lines += ["", f"## {result['row']}", "", f"| score | {' | '.join(kinds)} |"]
        lines += ["|---" * (len(kinds) + 1) + "|"]
        lines += [
            f"| {name} | {' | '.join(_cell(kinds[kind]['scores'][name], kind) for kind in kinds)} |"
            for name in kinds["good"]["scores"]
        ]
        lines += [f"| verdict | {' | '.join(verdict_name(kinds[kind]) for kind in kinds)} |", ""]
        lines += [
            f"CPU-seconds of a report: {result['first_report_cpu_s']:.0f} the first time, "
            f"{result['second_report_cpu_s']:.0f} the second. "
            f"Not as it should be: {'; '.join(failed_checks(result)) or 'nothing'}.",
        ]
        if "agreement" in result:
            lines += ["", *_agreement(result["agreement"])]
    return "\n".join(lines) + "\n"


def _cell(score: dict[str, Any], kind: str) -> str:
    text = f"{score['value']:.3f} ± {(score['ci95'][1] - score['ci95'][0]) / 2:.3f}"
    return f"**{text}**" if kind in EXPECTED_WORSE[score["name"]] else text


def compare_judges(
    ours: Sequence[Sequence[Score]], judge_scores: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """What measures of two seeds and another judge say of the same samples and held-out items."""
    known = {
        name: judge_scores[their]
        for name, their in JUDGE_SCORE_NAMES.items()
        if their in judge_scores
    }
    known["tstr_score"] = (
        judge_scores.get("accuracy_when_trained_on_it") or judge_scores["utility"]["auc"]
    )
    one, other = ({score.name: score for score in scores} for scores in ours)
    return {
        name: {
            "ours": one[name].value,
            "half": (one[name].ci95[1] - one[name].ci95[0]) / 2,
            "another_seed": other[name].value,
            "another_judge": their,
        }
        for name, their in known.items()
        if name in one
    }


def _agreement(compared: dict[str, dict[str, float]]) -> list[str]:
    lines = ["| good model | ours | half the interval | another seed | another judge | less |"]
    lines += ["|---" * 6 + "|"]
    for name, row in compared.items():
        figures = [row[key] for key in ("ours", "half", "another_seed", "another_judge")]
        cells = " | ".join(f"{figure:.3f}" for figure in figures)
        lines.append(f"| {name} | {cells} | {row['ours'] - row['another_judge']:+.3f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--judge-images", type=Path)
    parser.add_argument("--judge-tables", type=Path)
    parser.add_argument("--interpreter", default=sys.executable, help="of the judge of tables")
    parser.add_argument("--cache", type=Path, default=Path("build/judge"))
    parser.add_argument("--rows", nargs="+", default=[ADULT.name, *(row.name for row in SETS)])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.rows:
        row = next((row for row in SETS if row.name == name), None)
        result = evaluate_image_set(row, arguments) if row else evaluate_table(arguments)
        with RESULTS.open("a") as out:
            out.write(json.dumps(result) + "\n")
        print(name, failed_checks(result), flush=True)
    FIGURES.write_text(render_markdown([json.loads(line) for line in RESULTS.open()]))


if __name__ == "__main__":
    main()
