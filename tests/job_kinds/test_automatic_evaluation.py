"""Evaluations that follow trainings, and the quotas of their tenant."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from core.settings import Settings
from tests.factories import create_dataset
from tests.tiny_configs import TINY_TABLE_CONFIG
from tests.uploads import make_people_csv
from worker.job_runner import run_next


@pytest.fixture
def training(client: TestClient) -> dict[str, Any]:
    """Return the request of a training with an evaluation."""
    return {
        "kind": "training",
        "dataset": create_dataset(make_people_csv(), "people.csv", target="income"),
        "hyperparameters": TINY_TABLE_CONFIG,
        "budget": {"steps": 2},
        "evaluate": True,
    }


def waiting_kinds(client: TestClient) -> list[str]:
    jobs = client.get("/v1/jobs?state=queued").json()["data"]
    return sorted(job["kind"] for job in jobs)


def test_the_evaluation_of_a_training_takes_no_place_of_another_job(
    client: TestClient,
    training: dict[str, Any],
    configured: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(configured.quotas, "waiting_jobs", 1)
    monkeypatch.setattr(configured.limits, "queued_jobs", 1)
    assert client.post("/v1/jobs", json=training).status_code == 202
    assert run_next(["training"])
    assert waiting_kinds(client) == ["evaluation"]
    used = {row["name"]: row["used"] for row in client.get("/v1/usage").json()["quotas"]}
    assert used["waiting_jobs"] == 0
    assert client.post("/v1/jobs", json=training).status_code == 202
    rejected = client.post("/v1/jobs", json=training)
    assert (rejected.status_code, rejected.json()["quota"]) == (429, "waiting_jobs")


def test_a_model_is_evaluated_although_other_jobs_use_up_the_quota(
    client: TestClient,
    training: dict[str, Any],
    configured: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [client.post("/v1/jobs", json=training).status_code for _ in range(2)] == [202, 202]
    monkeypatch.setattr(configured.quotas, "waiting_jobs", 1)
    monkeypatch.setattr(configured.limits, "queued_jobs", 1)
    assert run_next(["training"])
    assert waiting_kinds(client) == ["evaluation", "training"]


def test_a_training_succeeds_without_evaluation_when_no_computing_time_is_left(
    client: TestClient,
    training: dict[str, Any],
    configured: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = client.post("/v1/jobs", json=training).json()["id"]
    monkeypatch.setattr(configured.quotas, "compute_seconds_per_day", 0)
    assert run_next(["training"])
    assert client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded"
    assert waiting_kinds(client) == []
    log = client.get(f"/v1/jobs/{job}/events?type=log").json()["data"]
    assert "The model was not evaluated: The quota `compute_seconds_per_day`" in str(log)
