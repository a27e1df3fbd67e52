"""Training jobs that come in over HTTP, are run in this process, and are broken off or damaged."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import jobs
from core.database import read, write
from core.settings import Settings
from core.tables import Checkpoint, Job
from tests.conftest import expire_lease
from tests.factories import create_digits_dataset
from tests.tiny_configs import TINY_IMAGE_CONFIG
from worker import training
from worker.job_runner import run_next


def create_training_job(client: TestClient, **spec: Any) -> str:
    body = {
        "kind": "training",
        "dataset": spec.get("dataset") or create_digits_dataset(),
        "hyperparameters": TINY_IMAGE_CONFIG,
        "budget": {"steps": 20},
        "seed": 1,
    }
    posted = client.post("/v1/jobs", json=body | spec)
    assert posted.status_code == 202, posted.text
    job_id: str = posted.json()["id"]
    return job_id


def run_training_job(client: TestClient, job_id: str) -> dict[str, Any]:
    run_next(["training"], job_id)
    job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
    return job


class WorkerKilled(BaseException):
    """As good as SIGKILL: no handler of ours sees it, and nothing is written."""


def interrupt_training(
    client: TestClient, job_id: str, monkeypatch: pytest.MonkeyPatch, *, at_step: int
) -> None:
    """Run the job until this step, lose its worker, and have the sweeper notice."""
    reached = training.JobTrainingCallbacks.progress

    def progress(self: training.JobTrainingCallbacks, step: int) -> float:
        if step == at_step:
            raise WorkerKilled
        return reached(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(training.JobTrainingCallbacks, "progress", progress)
        with pytest.raises(WorkerKilled):
            run_next(["training"], job_id)
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
    (last,) = [row for row in list_checkpoints(job_id) if row.step == step][:1]
    return str(last.files["model"]["sha256"])


def corrupt_object(configured: Settings, key: str) -> None:
    (path,) = (configured.data_dir / "objects").rglob(Path(key).name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def record_start_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first step that each later run is asked about."""
    began: list[int] = []
    reached = training.JobTrainingCallbacks.progress

    def progress(self: training.JobTrainingCallbacks, step: int) -> float:
        if self._attempt_start is None:
            began.append(step)
        return reached(self, step)

    monkeypatch.setattr(training.JobTrainingCallbacks, "progress", progress)
    return began
