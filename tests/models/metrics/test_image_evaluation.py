"""Evaluation of good, naive, collapsed and memorized samples of digits."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import core.datasets.builtin
from models.images.data import LabeledImages
from models.metrics import baselines
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.images.evaluation import EvaluationResult, evaluate
from models.metrics.verdict import verdict_of
from tests.tiny_configs import SHORT_EVALUATION

LabeledSamples = tuple[NDArray[np.uint8], NDArray[np.int64]]
UNUSED_COUNT = 400  # real images outside the training and holdout sets
SAMPLE_COUNT = 400


def never_stop() -> None:
    return


def add_noise(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).integers(-8, 9, pixels.shape)
    return np.clip(pixels.astype(int) + noise, 0, 255).astype(np.uint8)


class Digits:
    def __init__(self) -> None:
        torch.set_num_threads(1)
        path = Path(core.datasets.builtin.__file__).with_name("digits.npz")
        with np.load(path) as archive:
            order = np.random.default_rng(0).permutation(len(archive["x"]))
            x, y = archive["x"][order], archive["y"][order].astype(np.int32)
        self.unused = x[:UNUSED_COUNT], y[:UNUSED_COUNT].astype(np.int64)
        x, y = x[UNUSED_COUNT:], y[UNUSED_COUNT:]
        by_label = np.argsort(y, kind="stable")  # the order of an upload with one folder per label
        self.data = LabeledImages.split(x[by_label], y[by_label], holdout_fraction=0.4, seed=1)
        self.classifier = EvaluationClassifier.fit(self.data, 10, never_stop)

    def evaluate(self, samples: LabeledSamples) -> EvaluationResult:
        names = [str(digit) for digit in range(10)]
        return evaluate(self.classifier, self.data, samples, names, seed=0, check_stop=never_stop)


@pytest.fixture(scope="module")
def digits() -> Iterator[Digits]:
    """Measured by classifiers that learn shortly: what is compared here differs by far more."""
    with pytest.MonkeyPatch.context() as patch:
        for name, steps in SHORT_EVALUATION.items():
            patch.setattr(name, steps)
        yield Digits()


def make_good(digits: Digits) -> LabeledSamples:
    """Return unused real images with noise, as a good model would generate them."""
    return add_noise(digits.unused[0]), digits.unused[1]


def make_collapsed(digits: Digits) -> LabeledSamples:
    pixels, labels = digits.unused
    sample_labels = np.arange(SAMPLE_COUNT) % 10
    first_indices = np.array([np.flatnonzero(labels == digit)[0] for digit in range(10)])
    return pixels[first_indices[sample_labels]], sample_labels


def make_gaussian(digits: Digits) -> LabeledSamples:
    sample_labels = torch.arange(SAMPLE_COUNT) % 10
    samples = baselines.sample_gaussians(
        *digits.data.batch(digits.data.train), sample_labels, seed=3
    )
    return ((samples[:, 0] + 1) * 127.5).round().byte().numpy(), sample_labels.numpy()


def make_memorized(digits: Digits) -> LabeledSamples:
    indices = np.random.default_rng(2).choice(digits.data.train, SAMPLE_COUNT)
    return add_noise(digits.data.pixels[indices]), digits.data.labels[indices].astype(np.int64)


@pytest.mark.slow
def test_scores_and_verdicts_distinguish_good_and_bad_samples(digits: Digits) -> None:
    sources: dict[str, Callable[[Digits], LabeledSamples]] = {
        "good": make_good,
        "poor": make_gaussian,
        "collapsed": make_collapsed,
        "memorized": make_memorized,
    }
    results = {
        name: digits.evaluate(make_samples(digits)) for name, make_samples in sources.items()
    }
    scores_of = {
        name: {score.name: score for score in result.scores} for name, result in results.items()
    }
    for name, result in results.items():
        verdict = verdict_of(result.scores)
        assert verdict.verdict == name, (name, verdict.reasons)
        assert verdict.reasons
    frechet = {name: scores["frechet_distance"].value for name, scores in scores_of.items()}
    assert 2 * frechet["good"] < frechet["poor"] < frechet["collapsed"] / 2
    good_frechet = scores_of["good"]["frechet_distance"]
    assert good_frechet.value < 2 * (good_frechet.real_reference or 0)
    good_kernel = scores_of["good"]["kernel_distance"]
    assert good_kernel.value < 0.1 * (good_kernel.naive_baseline or 0)
    assert good_kernel.ci95[1] < scores_of["poor"]["kernel_distance"].ci95[0]
    coverage = {name: scores["coverage"].value for name, scores in scores_of.items()}
    assert coverage["collapsed"] < 0.3 < 0.9 < coverage["good"]
    assert scores_of["collapsed"]["precision"].value > 0.9
    detection_auc = {name: scores["detection_auc"].value for name, scores in scores_of.items()}
    assert (
        abs(detection_auc["good"] - 0.5)
        < 0.1
        < abs(detection_auc["poor"] - 0.5)
        < detection_auc["collapsed"] - 0.5
    )
    detection_accuracy = {name: scores["detection_accuracy"] for name, scores in scores_of.items()}
    assert (
        abs(detection_accuracy["good"].value - 0.5) < 0.1 < detection_accuracy["poor"].value - 0.5
    )
    assert detection_accuracy["collapsed"].value > 0.95
    assert (
        abs((detection_accuracy["poor"].real_reference or 0) - 0.5)
        < 0.1
        < (detection_accuracy["poor"].naive_baseline or 0) - 0.5
    )
    utility = {name: scores["tstr_score"].value for name, scores in scores_of.items()}
    assert utility["collapsed"] < utility["good"] - 0.2
    unseen, labels = digits.data.batch(digits.data.holdout)
    label_accuracy = (digits.classifier.predict(unseen, never_stop)[1] == labels).float().mean()
    assert scores_of["good"]["label_accuracy"].real_reference == pytest.approx(
        float(label_accuracy), abs=1e-6
    )
    assert scores_of["memorized"]["memorization_rate"].value > 0.9
    assert scores_of["good"]["memorization_rate"].value < 0.05
    for name, is_memorized in (("memorized", True), ("good", False), ("collapsed", False)):
        attack_auc = scores_of[name]["membership_inference_auc"]
        assert (attack_auc.ci95[0] > 0.6) == is_memorized, name
        assert (
            scores_of[name]["membership_inference_tpr_at_1pct_fpr"].ci95[0] > 0.2
        ) == is_memorized, name
        assert is_memorized or attack_auc.ci95[0] < 0.5
    nearest_indices = results["memorized"].nearest_train_indices[:20]
    assert np.isin(nearest_indices, digits.data.train).all()


def test_memorized_unlabeled_images_are_detected(digits: Digits) -> None:
    train = digits.data.train
    labeled, unlabeled_indices = train[::2], train[1::2]
    data = replace(digits.data, train=labeled, unlabeled=unlabeled_indices)
    indices = np.random.default_rng(2).choice(unlabeled_indices, SAMPLE_COUNT)
    samples = add_noise(data.pixels[indices]), data.labels[indices].astype(np.int64)
    names = [str(digit) for digit in range(10)]
    result = evaluate(digits.classifier, data, samples, names, seed=0, check_stop=never_stop)
    assert verdict_of(result.scores).verdict == "memorized"
    assert next(score.value for score in result.scores if score.name == "memorization_rate") > 0.8
    assert np.isin(result.nearest_train_indices[:20], unlabeled_indices).all()


@pytest.mark.slow
def test_plain_images_near_plain_training_images_are_not_memorized(digits: Digits) -> None:
    rng = np.random.default_rng(4)
    textured = rng.integers(0, 256, (1_200, 8, 8)).astype(np.uint8)

    def make_plain_images(levels: NDArray[np.int64]) -> NDArray[np.uint8]:
        return (levels[:, None, None] + rng.integers(-6, 7, (len(levels), 8, 8))).astype(np.uint8)

    levels = np.arange(20, 240, 20)
    pixels = np.concatenate([make_plain_images(levels), textured])
    labels = np.zeros(len(pixels), np.int32)
    train_count = 600 + len(levels)
    data = LabeledImages(
        pixels, labels, np.arange(train_count), np.arange(train_count, len(pixels))
    )

    def memorization_rate(samples: NDArray[np.uint8]) -> float:
        sample_labels = np.zeros(len(samples), np.int64)
        result = evaluate(
            digits.classifier, data, (samples, sample_labels), ["0"], seed=0, check_stop=never_stop
        )
        return next(score.value for score in result.scores if score.name == "memorization_rate")

    assert memorization_rate(make_plain_images(rng.choice(levels, SAMPLE_COUNT))) < 0.05
    assert memorization_rate(pixels[rng.integers(len(levels), size=SAMPLE_COUNT)]) > 0.95


def test_a_stored_evaluation_classifier_gives_the_same_features(digits: Digits) -> None:
    stored = EvaluationClassifier.unpack(digits.classifier.pack(), (1, 8, 8), 10)
    images, _ = digits.data.batch(digits.data.holdout[:50])
    for stored_output, output in zip(
        stored.predict(images, never_stop),
        digits.classifier.predict(images, never_stop),
        strict=True,
    ):
        assert torch.equal(stored_output, output)
