"""Deletion of jobs, by request and by retention, and of all that came from a dataset."""

from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from core import retention
from core.database import clock, read, write
from core.settings import Settings
from core.storage import get_storage
from core.tables import Event, Job, JobState, Model
from tests.conftest import TENANT, AddJob
from tests.job_runs import create_training_job, run_training_job
from worker.job_runner import run_next


def stored_keys() -> set[str]:
    return set(get_storage().keys(f"t/{TENANT}"))


@pytest.fixture
def trained(client: TestClient) -> Any:
    """Train a model with two checkpoints, generate two files and return the training job."""
    job = run_training_job(client, create_training_job(client, checkpoint={"interval_steps": 10}))
    assert job["state"] == "succeeded", job["error"]
    body = {"kind": "generation", "model": job["result"]["model"], "count": 4, "shard_size": 2}
    client.post("/v1/jobs", json=body)
    assert run_next(["generation"])
    return job


def test_a_deleted_job_leaves_only_its_model(client: TestClient, trained: Any) -> None:
    model = trained["result"]["model"]
    (generation,) = client.get("/v1/jobs?kind=generation").json()["data"]
    for job in (trained, generation):
        assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
        assert client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert client.get("/v1/events").json()["data"] == []
    with read() as session:
        weights = session.get_one(Model, model).weights["key"]
    left = {key for key in stored_keys() if "/datasets/" not in key}
    assert left == {weights}
    assert client.get(f"/v1/models/{model}/samples?count=1").status_code == 200
    assert client.get(f"/v1/models/{model}/report").status_code == 200
    assert client.get("/v1/audit").json()["data"][0]["action"] == "job.delete"


def test_erasing_a_dataset_leaves_no_object(client: TestClient, trained: Any) -> None:
    assert len(stored_keys()) > 8
    assert client.delete(f"/v1/datasets/{trained['dataset']}?cascade=true").status_code == 204
    assert stored_keys() == set()


def test_a_job_that_has_not_ended_is_not_deleted(client: TestClient, add_job: AddJob) -> None:
    job = add_job()
    response = client.delete(f"/v1/jobs/{job.id}")
    assert (response.status_code, response.json()["jobs"]) == (409, [job.id])
    query = "kind=training&ended_before=2999-01-01T00:00:00Z"
    assert client.delete(f"/v1/jobs?{query}").json() == {"deleted": 0, "more": False}
    assert client.delete(f"/v1/jobs?{query}&state=queued").status_code == 422


def end(*jobs: Job, age_s: float, state: JobState = JobState.FAILED) -> None:
    with write() as session:
        ended = update(Job).where(Job.id.in_([job.id for job in jobs]))
        session.execute(ended.values(state=state, finished_at=clock(-age_s)))


def test_jobs_that_ended_before_a_time_are_deleted(client: TestClient, add_job: AddJob) -> None:
    old, new, cancelled = add_job(), add_job(), add_job()
    end(old, age_s=86_400 * 30)
    end(cancelled, age_s=86_400 * 30, state=JobState.CANCELLED)
    end(new, age_s=1)
    with read() as session:
        limit = session.scalars(select(clock(-86_400.0))).one().isoformat()
    params = {"kind": "training", "ended_before": limit, "state": "failed"}
    assert client.delete("/v1/jobs", params=params).json() == {"deleted": 1, "more": False}
    del params["state"]
    assert client.delete("/v1/jobs", params=params).json() == {"deleted": 1, "more": False}
    assert [job["id"] for job in client.get("/v1/jobs").json()["data"]] == [new.id]
    assert client.delete("/v1/jobs", params={"kind": "training"}).status_code == 422


def test_retention_deletes_what_is_older_than_its_setting(
    client: TestClient, add_job: AddJob, configured: Settings
) -> None:
    trained, old, new = add_job(), add_job(), add_job()
    end(trained, old, age_s=86_400 * 30)
    end(new, age_s=1)
    with write() as session:
        model = Model(id="mdl_1", tenant_id=TENANT, name="m", version=1, modality="image", step=1)
        model.job_id, model.weights, model.manifest = trained.id, {"key": "weights"}, {}
        session.add(model)
        events = update(Event).where(Event.job_id.in_([trained.id, old.id]))
        session.execute(events.values(created_at=clock(-86_400.0 * 30)))

    week = 7 * 86_400.0
    retention.apply(get_storage(), configured)  # deletes no jobs by default
    assert len(client.get("/v1/jobs").json()["data"]) == 3

    policy = {"job_retention_seconds": {"training": week}, "event_retention_seconds": week}
    retention.apply(get_storage(), configured.model_copy(update=policy))
    ids = [job["id"] for job in client.get("/v1/jobs?sort=created_at").json()["data"]]
    assert ids == [trained.id, new.id]
    with read() as session:
        assert set(session.scalars(select(Event.job_id))) == {new.id}
