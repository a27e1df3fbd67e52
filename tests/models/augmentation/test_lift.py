"""Lift and equivalent real items, computed with simulated classifiers of known accuracy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.augmentation.learning_curve import equivalent_real_items
from models.augmentation.lift import (
    MAX_ROUNDS,
    MIN_ROUNDS,
    SUBSET_FRACTIONS,
    CorrectMask,
    Indices,
    Interval,
    Lift,
    TrainingResult,
    balanced_accuracy,
    count_complete_rounds,
    recommend,
    run_trainings,
    stratified_subset,
)

REAL, LABELS = 800, 4
TRUTH = np.arange(2_000) % LABELS
POOL = np.arange(4 * REAL) % LABELS


class SimulatedClassifier:
    """Classifier whose error is 1.5 / √n for n distinct useful training items.

    Items with an index below `useful_items` are useful, real or synthetic. All trainings classify
    almost the same items correctly.
    """

    def __init__(self, useful_items: int, noise: float = 0.01) -> None:
        self.useful_items, self.noise, self.trained = useful_items, noise, 0
        self.hardness = np.random.default_rng(5).permutation(len(TRUTH)) / len(TRUTH)

    def __call__(self, indices: Indices, seed: int) -> CorrectMask:
        self.trained += 1
        count = len(np.unique(indices[indices < self.useful_items]))
        error = 1.5 * count**-0.5 + np.random.default_rng(seed).normal() * self.noise
        return np.asarray(self.hardness > error)


def make_training_sets(**synthetic: NDArray[np.int64]) -> dict[Any, Indices]:
    real = np.arange(REAL)
    return {"real": real} | {
        arm: np.concatenate([real, indices]) for arm, indices in synthetic.items()
    }


def train_all(
    classifier: SimulatedClassifier, training_sets: dict[Any, Indices], rounds: int = MAX_ROUNDS
) -> list[TrainingResult]:
    max_trainings = rounds * (len(training_sets) + len(SUBSET_FRACTIONS))
    return run_trainings(
        training_sets,
        POOL,
        classifier,
        seed=1,
        done=[],
        has_time=lambda: classifier.trained < max_trainings,
        save=lambda _done: None,
    )


SYNTHETIC = np.arange(REAL, 2 * REAL)


def test_perfect_synthetic_items_are_equivalent_to_as_many_real_items() -> None:
    results = train_all(
        SimulatedClassifier(4 * REAL, 0.002),
        make_training_sets(model=SYNTHETIC, transforms=SYNTHETIC[:0]),
    )
    estimate = equivalent_real_items(results, MAX_ROUNDS, TRUTH, seed=1)
    assert estimate["exponent"] == pytest.approx(0.5, abs=0.05)
    assert estimate["model"]["equivalent_real_items"] == pytest.approx(REAL, rel=0.15)
    low, high = estimate["model"]["ci95"]
    assert low < REAL < high
    low, high = estimate["transforms"]["ci95"]
    assert low <= 0 <= high
    assert [point["items"] for point in estimate["points"]] == [100, 200, 400, 600, 800]
    assert estimate["trainings"] == 5 * MAX_ROUNDS


def test_items_that_help_have_a_gain_and_are_recommended() -> None:
    lift = Lift.from_results(
        train_all(SimulatedClassifier(4 * REAL), make_training_sets(model=SYNTHETIC)),
        MAX_ROUNDS,
        TRUTH,
    )
    gain = lift.gain("model")
    true_gain = 1.5 * (REAL**-0.5 - (2 * REAL) ** -0.5)
    assert gain.ci95[0] <= true_gain <= gain.ci95[1]
    assert gain.ci95[0] > 0
    assert recommend(lift).use == "model"
    report = lift.to_dict(["a", "b", "c", "d"])
    assert report["real"] == pytest.approx(1 - 1.5 * REAL**-0.5, abs=0.02)
    assert report["items"] == {"real": REAL, "model": 2 * REAL}
    assert set(report["per_label"]["model"]) == {"a", "b", "c", "d"}


def test_items_without_a_gain_are_not_recommended() -> None:
    lift = Lift.from_results(
        train_all(
            SimulatedClassifier(REAL), make_training_sets(model=SYNTHETIC, combined=SYNTHETIC)
        ),
        MAX_ROUNDS,
        TRUTH,
    )
    assert recommend(lift).use is None
    assert "no difference" in recommend(lift).reason


def test_oversampling_is_recommended_if_it_helps_as_much_as_synthetic_items() -> None:
    lift = Lift.from_results(
        train_all(
            SimulatedClassifier(4 * REAL),
            make_training_sets(oversampled=SYNTHETIC, model=SYNTHETIC),
        ),
        MAX_ROUNDS,
        TRUTH,
    )
    assert recommend(lift).use == "oversampled"


@pytest.mark.parametrize(("same_items", "deviation"), [(True, 0.0), (False, 0.05)])
def test_the_interval_covers_the_true_value_in_95_percent_of_cases(
    same_items: bool, deviation: float
) -> None:
    """Simulate the results of new rounds on new holdout items 300 times.

    With `same_items`, all rounds classify the same items correctly, so only the choice of items is
    random. Otherwise the rounds differ too.
    """
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        hit_probability = rng.random(400) < 2 / 3 if same_items else np.full(400, 2 / 3)
        hits = rng.random((4, 400)) < hit_probability + rng.normal(0, deviation, (4, 1))
        low, high = Interval.from_rounds(hits, np.arange(400) % 4).ci95
        covered += low <= 2 / 3 <= high
    assert covered >= 0.95 * 300 - 10


def test_balanced_accuracy_weights_all_labels_equally() -> None:
    truth = np.array([0] * 98 + [1] * 2)
    assert balanced_accuracy(truth == 0, truth) == 0.5


def test_a_resumed_run_gives_the_same_results() -> None:
    training_sets, saved = make_training_sets(model=SYNTHETIC), list[Sequence[TrainingResult]]()
    uninterrupted = train_all(SimulatedClassifier(REAL), training_sets)
    first_results = train_all(SimulatedClassifier(REAL), training_sets)[:7]
    restored = [TrainingResult.from_dict(result.to_dict(), len(TRUTH)) for result in first_results]
    classifier = SimulatedClassifier(REAL)
    resumed = run_trainings(
        training_sets,
        POOL,
        classifier,
        seed=1,
        done=restored,
        has_time=lambda: True,
        save=saved.append,
    )
    assert classifier.trained == len(uninterrupted) - 7 == len(saved)
    assert [result.to_dict() for result in resumed] == [
        result.to_dict() for result in uninterrupted
    ]


def test_the_lift_is_measured_before_the_learning_curve() -> None:
    num_arms, num_subsets = len(make_training_sets(model=SYNTHETIC)), len(SUBSET_FRACTIONS)
    results = train_all(SimulatedClassifier(REAL), make_training_sets(model=SYNTHETIC))
    min_results = MIN_ROUNDS * num_arms
    assert count_complete_rounds(results[: min_results - 1], num_arms) == (MIN_ROUNDS - 1, 0)
    assert count_complete_rounds(results[:min_results], num_arms) == (MIN_ROUNDS, 0)
    assert count_complete_rounds(results[: min_results + MIN_ROUNDS * num_subsets], num_arms) == (
        MIN_ROUNDS,
        MIN_ROUNDS,
    )
    one_more_round = results[: min_results + MIN_ROUNDS * num_subsets + num_arms]
    assert count_complete_rounds(one_more_round, num_arms) == (MIN_ROUNDS + 1, MIN_ROUNDS)
    assert count_complete_rounds(results, num_arms) == (MAX_ROUNDS, MAX_ROUNDS)
    assert (
        Lift.from_results(one_more_round, MIN_ROUNDS + 1, TRUTH).correct["model"].shape[0]
        == MIN_ROUNDS + 1
    )


def test_too_few_rounds_are_rejected() -> None:
    with pytest.raises(ValueError, match="at least 3 rounds, not 2"):
        Lift.from_results(
            train_all(SimulatedClassifier(REAL), make_training_sets(model=SYNTHETIC), rounds=2),
            2,
            TRUTH,
        )


def test_a_stratified_subset_keeps_the_share_of_each_label() -> None:
    labels = np.array([0] * 80 + [1] * 3)
    subset = stratified_subset(np.arange(83), labels, 0.25, np.random.default_rng(0))
    assert np.bincount(labels[subset]).tolist() == [20, 1]
