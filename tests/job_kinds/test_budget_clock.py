"""Budgets in seconds count the training steps, not the start of the process."""

import resource
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from job_kinds.training.budget_clock import BudgetClock, TimeUsed
from models.images.data import ImageBatches, LabeledImages
from tests.job_runs import (
    create_training_job,
    interrupt_training,
    list_checkpoints,
    run_training_job,
)
from tests.tiny_configs import TINY_IMAGE_CONFIG

STEP_S, START_UP_S = 0.125, 100.0  # exact in binary, so that sums are exact


class ProcessTime:
    """Simulated CPU time: opening a dataset takes START_UP_S, a step takes STEP_S."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cpu_s = 0.0
        split, batch_at = LabeledImages.split, ImageBatches.batch_at

        def slow_split(*args: Any, **options: Any) -> LabeledImages:
            self.cpu_s += START_UP_S
            return split(*args, **options)

        def slow_batch_at(batches: ImageBatches, step: int) -> Any:
            self.cpu_s += STEP_S
            return batch_at(batches, step)

        monkeypatch.setattr(LabeledImages, "split", slow_split)
        monkeypatch.setattr(ImageBatches, "batch_at", slow_batch_at)
        monkeypatch.setattr(resource, "getrusage", self._getrusage)

    def _getrusage(self, _who: int) -> SimpleNamespace:
        return SimpleNamespace(ru_utime=self.cpu_s, ru_stime=0.0)


@pytest.fixture
def process_time(monkeypatch: pytest.MonkeyPatch) -> ProcessTime:
    return ProcessTime(monkeypatch)


def test_clock_counts_from_its_start() -> None:
    now = SimpleNamespace(cpu_s=7.0, wall_s=50.0)
    clock = BudgetClock(TimeUsed(), lambda: TimeUsed(now.cpu_s, now.wall_s))
    now.cpu_s, now.wall_s = 9.0, 60.0
    assert clock.used() == TimeUsed(0, 0)
    clock.start()
    now.cpu_s, now.wall_s = 10.0, 64.0
    assert clock.used() == TimeUsed(1.0, 4.0)


def test_clock_continues_from_the_time_of_earlier_attempts() -> None:
    now = SimpleNamespace(cpu_s=7.0, wall_s=50.0)
    clock = BudgetClock(TimeUsed(3.0, 5.0), lambda: TimeUsed(now.cpu_s, now.wall_s))
    now.cpu_s, now.wall_s = 9.0, 60.0
    assert clock.used() == TimeUsed(3.0, 5.0)
    clock.start()
    now.cpu_s, now.wall_s = 10.0, 64.0
    assert clock.used() == TimeUsed(4.0, 9.0)


def test_start_of_the_process_costs_nothing_of_the_budget(
    client: TestClient, process_time: ProcessTime
) -> None:
    job_id = create_training_job(client, budget={"cpu_seconds": 50 * STEP_S})
    job = run_training_job(client, job_id)
    assert job["usage"]["cpu_s"] > START_UP_S  # the user sees the whole cost
    assert 45 <= job["result"]["step"] <= 50  # the latent prior has a share of the budget
    assert list_checkpoints(job_id)[0].metrics["cpu_s"] == STEP_S * job["result"]["step"]


@pytest.mark.slow
def test_resumed_job_does_as_many_steps_as_an_uninterrupted_one(
    client: TestClient, process_time: ProcessTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"budget": {"cpu_seconds": 50 * STEP_S}, "checkpoint": {"interval_steps": 4}}
    uninterrupted = run_training_job(client, create_training_job(client, **spec))
    interrupted = create_training_job(client, **spec)
    interrupt_training(client, interrupted, monkeypatch, at_step=12)
    interrupt_training(client, interrupted, monkeypatch, at_step=30)
    job = run_training_job(client, interrupted)
    assert (job["state"], job["attempt"]) == ("succeeded", 3)
    assert job["result"]["step"] == uninterrupted["result"]["step"]
    cpu_s = {row.step: row.metrics["cpu_s"] for row in list_checkpoints(interrupted)}
    assert cpu_s == {step: step * STEP_S for step in cpu_s}


def test_first_phase_of_a_short_run_is_trained(
    client: TestClient, process_time: ProcessTime
) -> None:
    budget = {"cpu_seconds": 8 * STEP_S}
    hyperparameters = {
        "log_interval": 1,
        "feature_budget_fraction": 0.25,
        "critic_start_fraction": 0.5,
    }
    job_id = create_training_job(
        client, budget=budget, hyperparameters=TINY_IMAGE_CONFIG | hyperparameters
    )
    run_training_job(client, job_id)
    metrics = client.get(f"/v1/jobs/{job_id}/metrics?names=feature_loss").json()
    assert metrics["feature_loss"]["steps"] == [1, 2]
