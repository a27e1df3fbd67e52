"""What more items are worth: the figures against classifiers whose worth is known."""

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


class Known:
    """A classifier whose error is 1.5 / √n of the items it learns from, however made, if they are
    among the `good` ones; it tells the same items right each time but for a few.
    """

    def __init__(self, good: int, luck: float = 0.01) -> None:
        self.good, self.luck, self.trained = good, luck, 0
        self.hardness = np.random.default_rng(5).permutation(len(TRUTH)) / len(TRUTH)

    def __call__(self, places: Indices, seed: int) -> CorrectMask:
        self.trained += 1
        count = len(np.unique(places[places < self.good]))
        error = 1.5 * count**-0.5 + np.random.default_rng(seed).normal() * self.luck
        return np.asarray(self.hardness > error)


def sets(**more: NDArray[np.int64]) -> dict[Any, Indices]:
    real = np.arange(REAL)
    return {"real": real} | {arm: np.concatenate([real, one]) for arm, one in more.items()}


def trained(
    learn: Known, wanted: dict[Any, Indices], rounds: int = MAX_ROUNDS
) -> list[TrainingResult]:
    most = rounds * (len(wanted) + len(SUBSET_FRACTIONS))
    return run_trainings(
        wanted,
        POOL,
        learn,
        seed=1,
        done=[],
        has_time=lambda: learn.trained < most,
        save=lambda _done: None,
    )


MADE = np.arange(REAL, 2 * REAL)


def test_as_good_as_real_items_are_worth_as_many_of_them() -> None:
    done = trained(Known(4 * REAL, 0.002), sets(model=MADE, transforms=MADE[:0]))
    found = equivalent_real_items(done, MAX_ROUNDS, TRUTH, seed=1)
    assert found["exponent"] == pytest.approx(0.5, abs=0.05)
    assert found["model"]["equivalent_real_items"] == pytest.approx(REAL, rel=0.15)
    low, high = found["model"]["ci95"]
    assert low < REAL < high
    low, high = found["transforms"]["ci95"]
    assert low <= 0 <= high
    assert [point["items"] for point in found["points"]] == [100, 200, 400, 600, 800]
    assert found["trainings"] == 5 * MAX_ROUNDS


def test_the_gain_of_items_that_help_is_found_and_recommended() -> None:
    lift = Lift.from_results(trained(Known(4 * REAL), sets(model=MADE)), MAX_ROUNDS, TRUTH)
    gain = lift.gain("model")
    true = 1.5 * (REAL**-0.5 - (2 * REAL) ** -0.5)
    assert gain.ci95[0] <= true <= gain.ci95[1]
    assert gain.ci95[0] > 0
    assert recommend(lift).use == "model"
    told = lift.to_dict(["a", "b", "c", "d"])
    assert told["real"] == pytest.approx(1 - 1.5 * REAL**-0.5, abs=0.02)
    assert told["items"] == {"real": REAL, "model": 2 * REAL}
    assert set(told["per_label"]["model"]) == {"a", "b", "c", "d"}


def test_items_that_do_nothing_are_not_recommended() -> None:
    lift = Lift.from_results(
        trained(Known(REAL), sets(model=MADE, combined=MADE)), MAX_ROUNDS, TRUTH
    )
    assert recommend(lift).use is None
    assert "no difference" in recommend(lift).reason


def test_what_repeating_real_items_does_as_well_is_said_to_be_no_merit_of_made_ones() -> None:
    lift = Lift.from_results(
        trained(Known(4 * REAL), sets(oversampled=MADE, model=MADE)), MAX_ROUNDS, TRUTH
    )
    assert recommend(lift).use == "oversampled"


@pytest.mark.parametrize(("sure", "deviation"), [(True, 0.0), (False, 0.05)])
def test_an_interval_holds_the_truth_about_as_often_as_it_says(
    sure: bool, deviation: float
) -> None:
    """Rounds and held-out items are drawn anew each time: once all rounds tell the same items
    right, so that only these are a matter of chance, and once rounds differ.
    """
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        chance = rng.random(400) < 2 / 3 if sure else np.full(400, 2 / 3)
        hits = rng.random((4, 400)) < chance + rng.normal(0, deviation, (4, 1))
        low, high = Interval.from_rounds(hits, np.arange(400) % 4).ci95
        held += low <= 2 / 3 <= high
    assert held >= 0.95 * 300 - 10


def test_labels_count_alike_however_many_items_they_have() -> None:
    truth = np.array([0] * 98 + [1] * 2)
    assert balanced_accuracy(truth == 0, truth) == 0.5


def test_a_run_that_was_interrupted_goes_on_and_ends_like_an_unbroken_one() -> None:
    wanted, saved = sets(model=MADE), list[Sequence[TrainingResult]]()
    whole = trained(Known(REAL), wanted)
    part = trained(Known(REAL), wanted)[:7]
    kept = [TrainingResult.from_dict(one.to_dict(), len(TRUTH)) for one in part]
    learn = Known(REAL)
    rest = run_trainings(
        wanted, POOL, learn, seed=1, done=kept, has_time=lambda: True, save=saved.append
    )
    assert learn.trained == len(whole) - 7 == len(saved)
    assert [one.to_dict() for one in rest] == [one.to_dict() for one in whole]


def test_the_lift_is_measured_before_what_it_is_worth_in_real_items() -> None:
    arms, parts = len(sets(model=MADE)), len(SUBSET_FRACTIONS)
    whole = trained(Known(REAL), sets(model=MADE))
    least = MIN_ROUNDS * arms
    assert count_complete_rounds(whole[: least - 1], arms) == (MIN_ROUNDS - 1, 0)
    assert count_complete_rounds(whole[:least], arms) == (MIN_ROUNDS, 0)
    assert count_complete_rounds(whole[: least + MIN_ROUNDS * parts], arms) == (
        MIN_ROUNDS,
        MIN_ROUNDS,
    )
    one_more = whole[: least + MIN_ROUNDS * parts + arms]
    assert count_complete_rounds(one_more, arms) == (MIN_ROUNDS + 1, MIN_ROUNDS)
    assert count_complete_rounds(whole, arms) == (MAX_ROUNDS, MAX_ROUNDS)
    assert (
        Lift.from_results(one_more, MIN_ROUNDS + 1, TRUTH).correct["model"].shape[0]
        == MIN_ROUNDS + 1
    )


def test_too_few_rounds_make_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 3 rounds, not 2"):
        Lift.from_results(trained(Known(REAL), sets(model=MADE), rounds=2), 2, TRUTH)


def test_a_part_has_its_share_of_each_label() -> None:
    labels = np.array([0] * 80 + [1] * 3)
    part = stratified_subset(np.arange(83), labels, 0.25, np.random.default_rng(0))
    assert np.bincount(labels[part]).tolist() == [20, 1]
