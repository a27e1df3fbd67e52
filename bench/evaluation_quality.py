"""Benchmark of the evaluation scores: they must separate good samples from bad ones.

Run `python -m bench.evaluation_quality --data …`. DATA is a folder with Fashion-MNIST and digits as
for bench.images, and a subfolder `tables` with Adult as for bench.tables.

For each dataset, a service trains a good model and one of a few steps. It evaluates the good model
twice, the second time with the stored evaluation classifier; the CPU time of both jobs is recorded.
Then the same scores are computed for these kinds of samples:

- real: items that neither training nor the evaluation has seen
- good, under-trained: samples of the two models
- collapsed: one unseen item of each label, repeated
- naive: a Gaussian over all pixels for each label; for tables, independent columns
- pixelwise: images whose pixels are independent, for each label
- memorizer: copies of training items

With `--judge-images` and `--judge-tables` (programs as for bench.images and bench.tables),
independent judges score the samples of the good model, too. The service's scores are then repeated
with another seed and, for images, with another evaluation classifier: a difference of that size is
not a disagreement with the judge.
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

from bench.images import CACHE_HELP, commit
from bench.images import run_judge as judge_images
from bench.serving import serving
from bench.tables import INTERPRETER_HELP, read, split
from bench.tables import Row as Table
from bench.tables import run_judge as judge_rows
from models.images.data import LabeledImages
from models.metrics import baselines
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.images import evaluation as image_evaluation
from models.metrics.scores import Score
from models.metrics.tabular import evaluation as tabular_evaluation
from models.metrics.verdict import verdict_of
from models.tabular.data import LabeledRows

RESULTS = Path(__file__).with_name("results") / "evaluation_quality.jsonl"
FIGURES = Path(__file__).with_name("evaluation_quality.md")

ADULT = Table("adult", "income", 24_000)
KINDS = ("real", "good", "under-trained", "collapsed", "naive", "pixelwise", "memorizer")

Samples = tuple[NDArray[np.uint8], NDArray[np.int64]]
Spec = dict[str, Any]  # fields of a training job


@dataclass(frozen=True)
class Images:
    """An image dataset; `real_items` of its training images are set aside as `real` samples."""

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
    real_indices, train_indices = order[: row.real_items], order[row.real_items :]
    x_train, y_train = x[train_indices], y[train_indices]
    classes = int(y.max()) + 1
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        real = folder / "real.npz"
        np.savez(real, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        with serving() as client:
            dataset = client.upload(real, name=row.name)["id"]
            spec: Spec = {"budget": {"cpu_seconds": row.cpu_seconds}, "early_stopping": False}
            models = train_models(client, dataset, spec, row.short_steps)
            costs = measure_reports(client, models["good"], row.samples)
            files = {}
            for kind, model in models.items():
                files[kind] = folder / f"{kind}.npz"
                client.download_samples(model, files[kind], count=row.samples, seed=1_001)
        samples = {
            "real": (x[real_indices], y[real_indices]),
            **{kind: load_samples(file) for kind, file in files.items()},
        }
        samples |= sample_degraded(x_train, y_train, row.samples, classes)
        samples["collapsed"] = sample_collapsed(*samples["real"], row.samples, classes)
        pixels = np.concatenate([x_train, x_test])
        labels = np.concatenate([y_train, y_test]).astype(np.int32)
        data = LabeledImages(pixels, labels, *np.split(np.arange(len(pixels)), [len(x_train)]))
        names = [str(label) for label in range(classes)]
        classifiers = [
            EvaluationClassifier.fit(data, classes, check_stop, seed=seed) for seed in range(2)
        ]

        @cache
        def evaluate(kind: str, seed: int = 0) -> list[Score]:
            evaluation = image_evaluation.evaluate(
                classifiers[seed], data, samples[kind], names, seed=seed, check_stop=check_stop
            )
            return evaluation.scores

        result = {"row": row.name, "commit": commit(), **costs}
        result |= evaluate_kinds(samples, evaluate)
        if arguments.judge_images:
            ours = evaluate("good"), evaluate("good", 1)
            theirs = judge_images(arguments.judge_images, real, files["good"], arguments.cache)
            result["agreement"] = compare_judges(ours, theirs)
    return result


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
    """Return the kinds of bad samples that are derived from the training images without a model."""
    rng = np.random.default_rng(1)
    labels = np.arange(count) % classes
    copied = rng.choice(len(x), count)
    subset = rng.permutation(len(x))[:20_000]
    images, image_labels = LabeledImages(x, y.astype(np.int32), subset, subset).batch(subset)
    synthetic = baselines.sample_gaussians(images, image_labels, torch.from_numpy(labels), seed=2)
    pixels = ((synthetic + 1) * 127.5).round().byte().permute(0, 2, 3, 1).squeeze(3).numpy()
    return {
        "naive": (pixels, labels),
        "pixelwise": (sample_pixelwise(x, y, labels, rng), labels),
        "memorizer": (x[copied], y[copied]),
    }


def sample_pixelwise(
    x: NDArray[np.uint8], y: NDArray[np.int64], labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return images whose pixels each come from a random image of the label."""
    label_indices = {label: np.flatnonzero(y == label) for label in np.unique(labels)}
    synthetic = np.empty((len(labels), *x.shape[1:]), np.uint8)
    for i, label in enumerate(labels):
        sources = rng.choice(label_indices[label], x.shape[1:])
        synthetic[i] = np.take_along_axis(x, sources[None], 0)[0]
    return synthetic


def evaluate_table(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        train_file, test_file = split(ADULT, arguments.data / "tables", folder)
        train, schema = read(train_file, ADULT.drop)
        test = read(test_file, ADULT.drop)[0]
        half = len(test) // 2
        holdout, real = test.slice(0, half), test.slice(half)
        with serving() as client:
            dataset = client.upload(train_file, target=ADULT.target)["id"]
            models = train_models(client, dataset, {}, 10)
            costs = measure_reports(client, models["good"], len(train))
            files = {}
            for kind, model in models.items():
                files[kind] = folder / f"{kind}.csv"
                client.download_samples(model, files[kind], count=len(train), seed=1_001)
        rng = np.random.default_rng(1)
        columns = {n: np.asarray(train[n].to_numpy()) for n in train.column_names}
        copied = train.take(pa.array(rng.choice(len(train), len(train))))
        labels = real[ADULT.target].to_pylist()
        first_of_label = [labels.index(label) for label in sorted(set(labels))]
        samples = {
            "real": real,
            **{kind: read(file, ADULT.drop)[0] for kind, file in files.items()},
            "collapsed": real.take(pa.array(np.resize(first_of_label, len(train)))),
            "naive": pa.table(baselines.sample_independent(columns, len(train), 2)),
            "memorizer": copied,
        }

        def with_holdout(holdout: pa.Table) -> LabeledRows:
            table = pa.concat_tables([train, holdout])
            train_indices, holdout_indices = np.split(np.arange(len(table)), [len(train)])
            return LabeledRows(table, tuple(schema), ADULT.target, train_indices, holdout_indices)

        data = with_holdout(holdout)

        def evaluate(kind: str) -> list[Score]:
            return tabular_evaluation.evaluate(
                data, samples[kind], seed=0, check_stop=check_stop
            ).scores

        result = {"row": ADULT.name, "commit": commit(), **costs}
        result |= evaluate_kinds(samples, evaluate)
        if arguments.judge_tables:
            program = argparse.Namespace(
                judge=arguments.judge_tables, interpreter=arguments.interpreter
            )
            theirs = judge_rows(ADULT, program, train_file, test_file, files["good"])
            # The judge compares with all test rows.
            data = with_holdout(test)
            ours = [
                tabular_evaluation.evaluate(
                    data, samples["good"], seed=seed, check_stop=check_stop
                ).scores
                for seed in range(2)
            ]
            result["agreement"] = compare_judges(ours, theirs)
    return result


def check_stop() -> None:
    """Do nothing: a benchmark has no stop requests."""


def train_models(client: Client, dataset: str, good: Spec, few_steps: int) -> dict[str, str]:
    """Train the good and the under-trained model and return their ids."""
    models = {}
    for kind, spec in (("good", good), ("under-trained", {**good, "budget": {"steps": few_steps}})):
        job = client.train(dataset, preset="fast", seed=1, name=kind, **spec)
        models[kind] = client.wait(job["id"])["result"]["model"]
    return models


def measure_reports(client: Client, model: str, samples: int) -> dict[str, float]:
    """Return the CPU-seconds of the first evaluation and of a second one."""
    costs = {}
    for name in ("first_report_cpu_s", "second_report_cpu_s"):
        body = {"kind": "evaluation", "model": model, "samples": samples, "seed": 2}
        job = client.request("POST", "/v1/jobs", json=body).json()
        costs[name] = client.wait(job["id"])["usage"]["cpu_s"]
    return costs


def evaluate_kinds(
    sample_sets: Iterable[str], evaluate: Callable[[str], list[Score]]
) -> dict[str, Any]:
    kinds, costs = {}, []
    for kind in (kind for kind in KINDS if kind in sample_sets):
        started = time.process_time()
        scores = evaluate(kind)
        costs.append(time.process_time() - started)
        kinds[kind] = {"scores": {score.name: score.to_dict() for score in scores}}
        print(kind, verdict_of(scores), flush=True)
    return {"kinds": kinds, "measures_cpu_s": [round(cost, 1) for cost in costs]}


NAIVE = ("naive", "pixelwise")
# The kinds of samples that each score must rank below those of the good model, with intervals that
# do not overlap. Some kinds are good at a score: copies of real items are precise, independent
# columns have correct marginals, and naive images of garments show their label.
EXPECTED_WORSE = {
    "frechet_distance": ("under-trained", "collapsed", *NAIVE),
    "kernel_distance": ("under-trained", "collapsed", *NAIVE),
    "precision": ("under-trained",),
    "recall": ("under-trained", "collapsed"),
    "density": ("under-trained",),
    "coverage": ("under-trained", "collapsed", *NAIVE),
    "detection_auc": ("under-trained", "collapsed", *NAIVE),
    "detection_accuracy": ("under-trained", "collapsed", *NAIVE),
    "relation_detection_auc": ("under-trained", "collapsed", *NAIVE),
    "label_accuracy": ("under-trained",),
    "tstr_score": ("under-trained", "collapsed", *NAIVE),
    "global_utility": ("under-trained", "collapsed", *NAIVE),
    "near_duplicate_rate": ("memorizer",),
    "memorization_rate": ("memorizer",),
    "marginal_tvd": ("under-trained", "collapsed"),
    "pairwise_tvd": ("under-trained", "collapsed", *NAIVE),
    "label_tvd": ("under-trained", "collapsed", *NAIVE),
    "relation_violation_rate": NAIVE,
    "unseen_pair_rate": NAIVE,
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
    "relation_detection_auc": "told_apart_by_relations",
    "global_utility": "global_utility",
    "label_tvd": "by_label_tv",
    "dcr_share": "dcr_share",
    "exact_match_rate": "exact_copies",
}
MAX_CPU_S = {
    "fashion_mnist": {"first_report_cpu_s": 120, "second_report_cpu_s": 60},
    "adult": {"first_report_cpu_s": 30, "second_report_cpu_s": 30},
}


def failed_checks(result: dict[str, Any]) -> list[str]:
    """Return wrong verdicts, scores that rank wrongly and evaluations that cost too much."""
    kinds = result["kinds"]
    scores = {kind: evaluation["scores"] for kind, evaluation in kinds.items()}
    failures = [
        f"the verdict on {kind} is {verdict_name(evaluation)}"
        for kind, evaluation in kinds.items()
        if verdict_name(evaluation) not in EXPECTED_VERDICTS[kind]
    ]
    for name, good in scores["good"].items():
        failures += [
            f"{name} does not separate {worse} from good"
            for worse in EXPECTED_WORSE[name]
            if worse in scores and badness(scores[worse][name])[0] <= badness(good)[1]
        ]
        # Real samples may have more near-duplicates than generated ones; that is not a failure.
        is_privacy = EXPECTED_WORSE[name] == ("memorizer",)
        if not is_privacy and badness(scores["real"][name])[0] > badness(good)[1]:
            failures += [f"{name} ranks real samples below good ones"]
    failures += [
        f"{name} is {result[name]:.0f}, above the limit of {limit}"
        for name, limit in MAX_CPU_S.get(result["row"], {}).items()
        if result[name] > limit
    ]
    failures += [
        f"{name} disagrees with the judge"
        for name, row in result.get("agreement", {}).items()
        if abs(row["ours"] - row["another_judge"]) > _tolerance(row)
    ]
    return failures


def verdict_name(evaluation: dict[str, Any]) -> str:
    """Return the verdict that the current rules derive from stored scores."""
    return verdict_of([Score(**score) for score in evaluation["scores"].values()]).verdict


def _tolerance(row: dict[str, float]) -> float:
    """Return the uncertainty due to the samples plus that due to the evaluation classifier."""
    return row["half"] + abs(row["ours"] - row["another_seed"])


def badness(score: dict[str, Any]) -> tuple[float, float]:
    """Return the confidence interval of a score, negated if necessary so that larger is worse.

    A score with a target counts as lower-is-better: values below the target are not worse.
    """
    low, high = score["ci95"]
    return (-high, -low) if score["direction"] == "higher" else (low, high)


def render_markdown(results: list[dict[str, Any]]) -> str:
    """Return the page with the newest result of each dataset."""
    lines = [
        "# Scores of good and bad samples",
        "",
        "`python -m bench.evaluation_quality` writes this page; the head of the program describes "
        "the kinds of samples, and `results/evaluation_quality.jsonl` has all results. Each figure "
        "has half its 95 % interval. Figures in **bold** must be worse than those of the good "
        "model, with intervals that do not overlap. For digits of 8 x 8 pixels, a classifier "
        "learns as much from a Gaussian for each label as from real images, so `tstr_score` cannot "
        "separate these.",
        "",
        "The second table of each dataset compares the scores of the good model with those of an "
        "independent judge. The tolerance is half the interval plus the difference between two "
        "seeds. `label_accuracy` is lower than the judge's because the evaluation classifier "
        "trains for a shorter time; it also classifies fewer unseen real images correctly. "
        "`marginal_tvd` and `pairwise_tvd` are larger because a value that is more frequent than a "
        "bin gets its own bin: in a column that is mostly 0, the values above 0 are compared "
        "separately.",
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
            f"CPU-seconds of an evaluation: {result['first_report_cpu_s']:.0f} for the first one, "
            f"{result['second_report_cpu_s']:.0f} for the second. "
            f"Failed checks: {'; '.join(failed_checks(result)) or 'none'}.",
        ]
        if "agreement" in result:
            lines += ["", *_agreement_table(result["agreement"])]
    return "\n".join(lines) + "\n"


def _cell(score: dict[str, Any], kind: str) -> str:
    text = f"{score['value']:.3f} ± {(score['ci95'][1] - score['ci95'][0]) / 2:.3f}"
    return f"**{text}**" if kind in EXPECTED_WORSE[score["name"]] else text


def compare_judges(
    ours: Sequence[Sequence[Score]], judge_scores: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return a row for each score that the service, with two seeds, and the judge have computed."""
    theirs = {
        name: judge_scores[judge_name]
        for name, judge_name in JUDGE_SCORE_NAMES.items()
        if judge_name in judge_scores
    }
    theirs["tstr_score"] = (
        judge_scores.get("accuracy_when_trained_on_it") or judge_scores["utility"]["auc"]
    )
    first, second = ({score.name: score for score in scores} for scores in ours)
    return {
        name: {
            "ours": first[name].value,
            "half": (first[name].ci95[1] - first[name].ci95[0]) / 2,
            "another_seed": second[name].value,
            "another_judge": judge_score,
        }
        for name, judge_score in theirs.items()
        if name in first
    }


def _agreement_table(agreement: dict[str, dict[str, float]]) -> list[str]:
    lines = ["| score | service | ± | second seed | judge | difference to the judge |"]
    lines += ["|---" * 6 + "|"]
    for name, row in agreement.items():
        figures = [row[key] for key in ("ours", "half", "another_seed", "another_judge")]
        cells = " | ".join(f"{figure:.3f}" for figure in figures)
        lines.append(f"| {name} | {cells} | {row['ours'] - row['another_judge']:+.3f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    datasets = [ADULT.name, *(row.name for row in SETS)]
    parser.add_argument("--data", type=Path, required=True, help="Folder with the datasets.")
    parser.add_argument("--judge-images", type=Path, help="Program that scores images.")
    parser.add_argument("--judge-tables", type=Path, help="Program that scores tables.")
    parser.add_argument("--interpreter", default=sys.executable, help=INTERPRETER_HELP)
    parser.add_argument("--cache", type=Path, default=Path("build/judge"), help=CACHE_HELP)
    parser.add_argument("--rows", nargs="+", choices=datasets, default=datasets)
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
