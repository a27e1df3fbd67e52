"""Real, good, naive, collapsed and replayed samples of digits are told from each other."""

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
from models.metrics.image_evaluation import EvaluationResult, evaluate
from models.metrics.verdict import verdict_of
from tests.tiny_configs import SHORT_EVALUATION

Made = tuple[NDArray[np.uint8], NDArray[np.int64]]
APART = 400  # real images that neither training nor the held-out part has
COUNT = 400


def go_on() -> None:
    return


def rough(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).integers(-8, 9, pixels.shape)
    return np.clip(pixels.astype(int) + noise, 0, 255).astype(np.uint8)


class Digits:
    def __init__(self) -> None:
        torch.set_num_threads(1)
        path = Path(core.datasets.builtin.__file__).with_name("digits.npz")
        with np.load(path) as found:
            order = np.random.default_rng(0).permutation(len(found["x"]))
            x, y = found["x"][order], found["y"][order].astype(np.int32)
        self.apart = x[:APART], y[:APART].astype(np.int64)
        x, y = x[APART:], y[APART:]
        by_label = np.argsort(y, kind="stable")  # as folders of classes come
        self.data = LabeledImages.split(x[by_label], y[by_label], holdout_fraction=0.4, seed=1)
        self.yardstick = EvaluationClassifier.fit(self.data, 10, go_on)

    def judged(self, made: Made) -> EvaluationResult:
        names = [str(digit) for digit in range(10)]
        return evaluate(self.yardstick, self.data, made, names, seed=0, check_stop=go_on)


@pytest.fixture(scope="module")
def digits() -> Iterator[Digits]:
    """Measured by classifiers that learn shortly: what is compared here differs by far more."""
    with pytest.MonkeyPatch.context() as patch:
        for name, steps in SHORT_EVALUATION.items():
            patch.setattr(name, steps)
        yield Digits()


def good(digits: Digits) -> Made:
    """What a good model would make: new images of the same kind, a little worse."""
    return rough(digits.apart[0]), digits.apart[1]


def collapsed(digits: Digits) -> Made:
    pixels, labels = digits.apart
    wanted = np.arange(COUNT) % 10
    one = np.array([np.flatnonzero(labels == digit)[0] for digit in range(10)])
    return pixels[one[wanted]], wanted


def of_gaussians(digits: Digits) -> Made:
    wanted = torch.arange(COUNT) % 10
    made = baselines.sample_gaussians(*digits.data.batch(digits.data.train), wanted, seed=3)
    return ((made[:, 0] + 1) * 127.5).round().byte().numpy(), wanted.numpy()


def replayed(digits: Digits) -> Made:
    chosen = np.random.default_rng(2).choice(digits.data.train, COUNT)
    return rough(digits.data.pixels[chosen]), digits.data.labels[chosen].astype(np.int64)


def test_samples_are_ordered_and_the_verdict_says_what_is_wrong(digits: Digits) -> None:
    made: dict[str, Callable[[Digits], Made]] = {
        "good": good,
        "poor": of_gaussians,
        "collapsed": collapsed,
        "memorized": replayed,
    }
    judged = {name: digits.judged(make(digits)) for name, make in made.items()}
    found = {
        name: {score.name: score for score in judgement.scores}
        for name, judgement in judged.items()
    }
    for name, judgement in judged.items():
        said = verdict_of(judgement.scores)
        assert said.verdict == name, (name, said.reasons)
        assert said.reasons
    far = {name: scores["frechet_distance"].value for name, scores in found.items()}
    assert 2 * far["good"] < far["poor"] < far["collapsed"] / 2
    best = found["good"]["frechet_distance"]
    assert best.value < 2 * (best.real_reference or 0)
    apart = found["good"]["kernel_distance"]
    assert apart.value < 0.1 * (apart.naive_baseline or 0)
    assert apart.ci95[1] < found["poor"]["kernel_distance"].ci95[0]
    covered = {name: scores["coverage"].value for name, scores in found.items()}
    assert covered["collapsed"] < 0.3 < 0.9 < covered["good"]
    assert found["collapsed"]["precision"].value > 0.9
    apart = {name: scores["detection_auc"].value for name, scores in found.items()}
    assert abs(apart["good"] - 0.5) < 0.1 < abs(apart["poor"] - 0.5) < apart["collapsed"] - 0.5
    right = {name: scores["detection_accuracy"] for name, scores in found.items()}
    assert abs(right["good"].value - 0.5) < 0.1 < right["poor"].value - 0.5
    assert right["collapsed"].value > 0.95
    assert (
        abs((right["poor"].real_reference or 0) - 0.5)
        < 0.1
        < (right["poor"].naive_baseline or 0) - 0.5
    )
    useful = {name: scores["tstr_score"].value for name, scores in found.items()}
    assert useful["collapsed"] < useful["good"] - 0.2
    unseen, truth = digits.data.batch(digits.data.holdout)
    known = (digits.yardstick.predict(unseen, go_on)[1] == truth).float().mean()
    assert found["good"]["label_accuracy"].real_reference == pytest.approx(float(known), abs=1e-6)
    assert found["memorized"]["memorization_rate"].value > 0.9
    assert found["good"]["memorization_rate"].value < 0.05
    for name, known in (("memorized", True), ("good", False), ("collapsed", False)):
        attack = found[name]["membership_inference_auc"]
        assert (attack.ci95[0] > 0.6) == known, name
        assert (found[name]["membership_inference_tpr_at_1pct_fpr"].ci95[0] > 0.2) == known, name
        assert known or attack.ci95[0] < 0.5
    places = judged["memorized"].nearest_train_indices[:20]
    assert np.isin(places, digits.data.train).all()


def test_replayed_images_that_came_without_a_label_are_recognised(digits: Digits) -> None:
    train = digits.data.train
    told, untold = train[::2], train[1::2]
    data = replace(digits.data, train=told, unlabeled=untold)
    chosen = np.random.default_rng(2).choice(untold, COUNT)
    made = rough(data.pixels[chosen]), data.labels[chosen].astype(np.int64)
    names = [str(digit) for digit in range(10)]
    judged = evaluate(digits.yardstick, data, made, names, seed=0, check_stop=go_on)
    assert verdict_of(judged.scores).verdict == "memorized"
    assert next(score.value for score in judged.scores if score.name == "memorization_rate") > 0.8
    assert np.isin(judged.nearest_train_indices[:20], untold).all()


def test_blurred_images_near_the_few_plain_ones_are_no_replays(digits: Digits) -> None:
    rng = np.random.default_rng(4)
    textured = rng.integers(0, 256, (1_200, 8, 8)).astype(np.uint8)

    def plain(levels: NDArray[np.int64]) -> NDArray[np.uint8]:
        return (levels[:, None, None] + rng.integers(-6, 7, (len(levels), 8, 8))).astype(np.uint8)

    levels = np.arange(20, 240, 20)
    pixels = np.concatenate([plain(levels), textured])
    labels = np.zeros(len(pixels), np.int32)
    seen = 600 + len(levels)
    data = LabeledImages(pixels, labels, np.arange(seen), np.arange(seen, len(pixels)))

    def replays(made: NDArray[np.uint8]) -> float:
        of = np.zeros(len(made), np.int64)
        judged = evaluate(digits.yardstick, data, (made, of), ["0"], seed=0, check_stop=go_on)
        return next(score.value for score in judged.scores if score.name == "memorization_rate")

    assert replays(plain(rng.choice(levels, COUNT))) < 0.05
    assert replays(pixels[rng.integers(len(levels), size=COUNT)]) > 0.95


def test_a_yardstick_that_was_kept_measures_as_the_one_that_learned(digits: Digits) -> None:
    kept = EvaluationClassifier.unpack(digits.yardstick.pack(), (1, 8, 8), 10)
    images, _ = digits.data.batch(digits.data.holdout[:50])
    for one, other in zip(
        kept.predict(images, go_on), digits.yardstick.predict(images, go_on), strict=True
    ):
        assert torch.equal(one, other)
