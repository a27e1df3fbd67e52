"""Early stopping of runs that no longer improve, and aborting of collapsed runs."""

import pytest

from models.images.early_stopping import (
    COLLAPSE_PATIENCE,
    DEFAULT_PATIENCE,
    WARMUP_STEPS,
    EarlyStopping,
    Patience,
)
from models.training_callbacks import Collapsed


def run_evaluations(
    coverages: list[float], patience: Patience = "auto", start: float = 0.1
) -> EarlyStopping:
    early_stopping = EarlyStopping()
    for i, coverage in enumerate(coverages):
        early_stopping.update(WARMUP_STEPS + i, start + 0.1 * i, coverage, patience)
    return early_stopping


def test_an_improving_run_uses_its_whole_budget() -> None:
    early_stopping = run_evaluations([0.1 * i for i in range(1, 9)])
    assert early_stopping.decay_start is None
    assert early_stopping.schedule_progress(0.85) == 0.85


def test_a_run_without_improvement_ends_early_with_its_full_schedule() -> None:
    early_stopping = run_evaluations([0.5] * (DEFAULT_PATIENCE + 1))
    start = early_stopping.decay_start
    assert start == pytest.approx(0.1 + 0.1 * DEFAULT_PATIENCE)
    assert early_stopping.schedule_progress(start) == start
    assert start < early_stopping.schedule_progress(start + 0.05) < 1
    assert early_stopping.schedule_progress(start + start / 4) == 1


def test_small_improvements_add_up() -> None:
    assert run_evaluations([0.5 + 0.004 * i for i in range(9)]).decay_start is None


def test_patience_can_be_set_or_disabled() -> None:
    assert run_evaluations([0.5, 0.5], patience=1).decay_start == pytest.approx(0.2)
    assert run_evaluations([0.5] * 9, patience=None).decay_start is None


def test_early_stopping_never_exceeds_the_budget() -> None:
    early_stopping = run_evaluations([0.5, 0.5], patience=1, start=0.85)
    assert early_stopping.schedule_progress(1.0) == 1


def test_a_run_without_coverage_is_aborted_in_its_second_half() -> None:
    with pytest.raises(Collapsed, match="cover only"):
        run_evaluations([0.0] * COLLAPSE_PATIENCE, start=0.6)


def test_a_bad_start_can_recover_in_the_first_half() -> None:
    assert run_evaluations([0.0, 0.0, 0.0, 0.0, 0.3]).collapsed_evaluations == 0


def test_a_run_without_early_stopping_does_not_abort_when_it_collapses() -> None:
    assert run_evaluations([0.0] * 5, patience=None, start=0.5).collapsed_evaluations == 5


def test_evaluations_during_warm_up_do_not_end_a_run() -> None:
    early_stopping = EarlyStopping()
    for i in range(9):
        early_stopping.update(i, 0.1 * (i + 1), 0.0, "auto")
    assert early_stopping.decay_start is None


def test_each_improvement_is_reported_once() -> None:
    early_stopping = EarlyStopping()
    assert early_stopping.update(WARMUP_STEPS, 0.1, 0.5, "auto")
    assert not early_stopping.update(WARMUP_STEPS, 0.2, 0.505, "auto")
    assert early_stopping.update(WARMUP_STEPS, 0.3, 0.52, "auto")
    assert not early_stopping.should_evaluate(0.39)
    assert early_stopping.should_evaluate(0.4)


def test_coverage_during_warm_up_does_not_prevent_saving() -> None:
    early_stopping = EarlyStopping()
    assert not early_stopping.update(WARMUP_STEPS - 1, 0.7, 0.98, "auto")
    assert early_stopping.update(WARMUP_STEPS, 0.8, 0.985, "auto")
    assert early_stopping.best_saved_coverage == 0.985
    assert not early_stopping.update(WARMUP_STEPS + 1, 0.9, 0.99, "auto")
