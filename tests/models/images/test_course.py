"""When a run is brought to its end early, and when it is given up."""

import pytest

from models.images.course import AUTO_PATIENCE, FAIR, LOST_LOOKS, Course, EarlyStop
from models.run import Collapsed


def seen(coverages: list[float], early_stop: EarlyStop = "auto", start: float = 0.1) -> Course:
    course = Course()
    for i, found in enumerate(coverages):
        course.enter(FAIR + i, start + 0.1 * i, found, early_stop)
    return course


def test_a_run_that_gains_goes_on_to_its_end() -> None:
    course = seen([0.1 * i for i in range(1, 9)])
    assert course.cooling_from is None
    assert course.hurried(0.85) == 0.85


def test_a_run_that_gains_no_more_is_brought_to_its_end_with_all_of_its_schedule() -> None:
    course = seen([0.5] * (AUTO_PATIENCE + 1))
    start = course.cooling_from
    assert start == pytest.approx(0.1 + 0.1 * AUTO_PATIENCE)
    assert course.hurried(start) == start
    assert start < course.hurried(start + 0.05) < 1
    assert course.hurried(start + start / 4) == 1


def test_small_gains_add_up() -> None:
    assert seen([0.5 + 0.004 * i for i in range(9)]).cooling_from is None


def test_patience_is_the_callers() -> None:
    assert seen([0.5, 0.5], early_stop=1).cooling_from == pytest.approx(0.2)
    assert seen([0.5] * 9, early_stop="never").cooling_from is None


def test_a_late_end_never_comes_after_the_budgets() -> None:
    course = seen([0.5, 0.5], early_stop=1, start=0.85)
    assert course.hurried(1.0) == 1


def test_a_run_that_covers_nothing_in_its_second_half_is_given_up() -> None:
    with pytest.raises(Collapsed, match="cover only"):
        seen([0.0] * LOST_LOOKS, start=0.6)


def test_a_run_that_begins_badly_has_half_of_its_budget_to_recover() -> None:
    assert seen([0.0, 0.0, 0.0, 0.0, 0.3]).lost == 0


def test_nobody_who_said_never_is_given_up() -> None:
    assert seen([0.0] * 5, early_stop="never", start=0.5).lost == 5


def test_nothing_is_expected_of_a_run_that_has_hardly_begun() -> None:
    course = Course()
    for i in range(9):
        course.enter(i, 0.1 * (i + 1), 0.0, "auto")
    assert course.cooling_from is None


def test_a_gain_is_told_once() -> None:
    course = Course()
    assert course.enter(FAIR, 0.1, 0.5, "auto")
    assert not course.enter(FAIR, 0.2, 0.505, "auto")
    assert course.enter(FAIR, 0.3, 0.52, "auto")
    assert not course.is_due(0.39)
    assert course.is_due(0.4)


def test_what_was_found_before_anything_is_kept_keeps_nothing_from_being_kept() -> None:
    course = Course()
    assert not course.enter(FAIR - 1, 0.7, 0.98, "auto")
    assert course.enter(FAIR, 0.8, 0.985, "auto")
    assert course.kept == 0.985
    assert not course.enter(FAIR + 1, 0.9, 0.99, "auto")
