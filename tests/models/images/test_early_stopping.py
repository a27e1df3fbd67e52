"""When a run is brought to its end early, and when it is given up."""

import pytest

from models.images.early_stopping import (
    COLLAPSE_PATIENCE,
    DEFAULT_PATIENCE,
    WARMUP_STEPS,
    EarlyStopping,
    Patience,
)
from models.training_callbacks import Collapsed


def seen(coverages: list[float], patience: Patience = "auto", start: float = 0.1) -> EarlyStopping:
    course = EarlyStopping()
    for i, found in enumerate(coverages):
        course.update(WARMUP_STEPS + i, start + 0.1 * i, found, patience)
    return course


def test_a_run_that_gains_goes_on_to_its_end() -> None:
    course = seen([0.1 * i for i in range(1, 9)])
    assert course.decay_start is None
    assert course.schedule_progress(0.85) == 0.85


def test_a_run_that_gains_no_more_is_brought_to_its_end_with_all_of_its_schedule() -> None:
    course = seen([0.5] * (DEFAULT_PATIENCE + 1))
    start = course.decay_start
    assert start == pytest.approx(0.1 + 0.1 * DEFAULT_PATIENCE)
    assert course.schedule_progress(start) == start
    assert start < course.schedule_progress(start + 0.05) < 1
    assert course.schedule_progress(start + start / 4) == 1


def test_small_gains_add_up() -> None:
    assert seen([0.5 + 0.004 * i for i in range(9)]).decay_start is None


def test_patience_is_the_callers() -> None:
    assert seen([0.5, 0.5], patience=1).decay_start == pytest.approx(0.2)
    assert seen([0.5] * 9, patience=None).decay_start is None


def test_a_late_end_never_comes_after_the_budgets() -> None:
    course = seen([0.5, 0.5], patience=1, start=0.85)
    assert course.schedule_progress(1.0) == 1


def test_a_run_that_covers_nothing_in_its_second_half_is_given_up() -> None:
    with pytest.raises(Collapsed, match="cover only"):
        seen([0.0] * COLLAPSE_PATIENCE, start=0.6)


def test_a_run_that_begins_badly_has_half_of_its_budget_to_recover() -> None:
    assert seen([0.0, 0.0, 0.0, 0.0, 0.3]).collapsed_evaluations == 0


def test_a_run_without_early_stopping_is_never_given_up() -> None:
    assert seen([0.0] * 5, patience=None, start=0.5).collapsed_evaluations == 5


def test_nothing_is_expected_of_a_run_that_has_hardly_begun() -> None:
    course = EarlyStopping()
    for i in range(9):
        course.update(i, 0.1 * (i + 1), 0.0, "auto")
    assert course.decay_start is None


def test_a_gain_is_told_once() -> None:
    course = EarlyStopping()
    assert course.update(WARMUP_STEPS, 0.1, 0.5, "auto")
    assert not course.update(WARMUP_STEPS, 0.2, 0.505, "auto")
    assert course.update(WARMUP_STEPS, 0.3, 0.52, "auto")
    assert not course.should_evaluate(0.39)
    assert course.should_evaluate(0.4)


def test_what_was_found_before_anything_is_kept_keeps_nothing_from_being_kept() -> None:
    course = EarlyStopping()
    assert not course.update(WARMUP_STEPS - 1, 0.7, 0.98, "auto")
    assert course.update(WARMUP_STEPS, 0.8, 0.985, "auto")
    assert course.best_saved_coverage == 0.985
    assert not course.update(WARMUP_STEPS + 1, 0.9, 0.99, "auto")
