"""Training jobs that are created over HTTP, run in this process, and interrupted or corrupted."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import jobs
from core.database import read, write
from core.settings import Settings
from core.tables import Checkpoint, Job
from job_kinds.training.run import RunningTraining
from tests.conftest import expire_lease
from tests.factories import create_digits_dataset
from tests.tiny_configs import TINY_IMAGE_CONFIG
from worker.job_runner import run_next


def create_training_job(client: TestClient, **spec: Any) -> str:
    body = {
        "kind": "training",
        "dataset": spec.get("dataset") or create_digits_dataset(),
        "hyperparameters": TINY_IMAGE_CONFIG,
        "budget": {"steps": 20},
        "seed": 1,
    }
    response = client.post("/v1/jobs", json=body | spec)
    assert response.status_code == 202, response.text
    job_id: str = response.json()["id"]
    return job_id


def run_training_job(client: TestClient, job_id: str) -> dict[str, Any]:
    run_next(["training"])
    job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
    return job


class WorkerKilled(BaseException):
    """Simulate SIGKILL: none of our handlers catches it, and nothing is written."""


def interrupt_training(
    client: TestClient, job_id: str, monkeypatch: pytest.MonkeyPatch, *, at_step: int
) -> None:
    """Run the job until `at_step`, lose its worker, and let the sweeper requeue the job."""
    original = RunningTraining.progress

    def progress(self: RunningTraining, step: int) -> float:
        if step == at_step:
            raise WorkerKilled
        return original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(RunningTraining, "progress", progress)
        with pytest.raises(WorkerKilled):
            run_next(["training"])
    with write() as session:
        expire_lease(session, session.get_one(Job, job_id))
    with write() as session:
        jobs.sweep(session)
        session.get_one(Job, job_id).available_at = session.get_one(Job, job_id).created_at


def list_checkpoints(job_id: str) -> list[Checkpoint]:
    with read() as session:
        job = session.get_one(Job, job_id)
        return list(jobs.checkpoints_of(session, job.tenant_id, job_id))


def get_model_sha256(job_id: str, step: int) -> str:
    (checkpoint,) = [row for row in list_checkpoints(job_id) if row.step == step][:1]
    return str(checkpoint.files["model"]["sha256"])


def corrupt_object(settings: Settings, key: str) -> None:
    (path,) = (settings.data_dir / "objects").rglob(Path(key).name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def record_start_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that collects the first step of each later run."""
    start_steps: list[int] = []
    original = RunningTraining.progress

    def progress(self: RunningTraining, step: int) -> float:
        if self._attempt_start is None:
            start_steps.append(step)
        return original(self, step)

    monkeypatch.setattr(RunningTraining, "progress", progress)
    return start_steps
