"""Deletion of jobs, by request and by retention, and of all that came from a dataset."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from core import jobs, retention
from core.database import clock, read, write
from core.settings import Settings, get_settings
from core.storage import get_storage
from core.tables import Checkpoint, Event, Job, JobState, Model
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


def checkpoint_files(job_id: str) -> dict[int, set[str]]:
    with read() as session:
        rows = session.scalars(select(Checkpoint).where(Checkpoint.job_id == job_id))
        return {row.step: set(row.files) for row in rows}


def test_training_states_go_after_success_except_that_of_the_model(
    client: TestClient, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {10: {"model"}, 20: {"model", "state"}}
    assert checkpoint_files(trained["id"]) == files
    monkeypatch.setenv("SEMBLANCE_ORPHAN_RETENTION_SECONDS", "0.001")
    get_settings.cache_clear()
    jobs.remove_orphans(get_storage())
    left = {Path(key).stem for key in stored_keys() if f"/jobs/{trained['id']}/" in key}
    assert {name for name in left if name.startswith(("state", "model"))} == {
        *("model-10", "model-20", "state-20")
    }

    promoted = client.post(f"/v1/jobs/{trained['id']}/checkpoints/10/promote").json()
    body = {"kind": "training", "dataset": trained["dataset"], "init_from": promoted["id"]}
    response = client.post("/v1/jobs", json=body)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/init_from")
    body["init_from"] = trained["result"]["model"]
    assert client.post("/v1/jobs", json=body | {"validate_only": True}).status_code == 200


def test_samples_expire_and_their_job_remains(
    client: TestClient, trained: Any, configured: Settings
) -> None:
    (generation,) = client.get("/v1/jobs?kind=generation").json()["data"]
    with write() as session:
        session.execute(update(Job).values(finished_at=clock(-86_400.0)))
    before = {key for key in stored_keys() if f"/jobs/{generation['id']}/" in key}
    policy = {"artifact_retention_seconds": {"generation": 86_500.0, "evaluation": 1.0}}
    retention.apply(get_storage(), configured.model_copy(update=policy))
    assert before <= stored_keys()
    policy = {"artifact_retention_seconds": {"generation": 86_300.0}}
    others = stored_keys() - before
    retention.apply(get_storage(), configured.model_copy(update=policy))
    assert before
    assert stored_keys() == others
    assert client.get(f"/v1/jobs/{generation['id']}/artifacts").json() == []
    assert client.get(f"/v1/jobs/{generation['id']}").json()["state"] == "succeeded"


def test_a_job_that_has_not_ended_is_not_deleted(client: TestClient, add_job: AddJob) -> None:
    job = add_job()
    response = client.delete(f"/v1/jobs/{job.id}")
    assert (response.status_code, response.json()["jobs"]) == (409, [job.id])
    query = "kind=training&ended_before=2999-01-01T00:00:00Z"
    assert client.delete(f"/v1/jobs?{query}").json() == {"deleted": 0, "more": False}
    assert client.delete(f"/v1/jobs?{query}&state=queued").status_code == 422


def end(*ended_jobs: Job, age_s: float, state: JobState = JobState.FAILED) -> None:
    with write() as session:
        ended = update(Job).where(Job.id.in_([job.id for job in ended_jobs]))
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
