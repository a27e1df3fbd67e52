"""Augmentation jobs that come in over HTTP and are run in this process, and what they made."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from worker.job_runner import run_next

QUEUES = ["evaluation"]


def post(client: TestClient, dataset: str, **more: Any) -> Any:
    body = {"kind": "augmentation", "dataset": dataset, "seed": 3, **more}
    return client.post("/v1/jobs", json=body)


def look(client: TestClient, job_id: str) -> Any:
    return client.get(f"/v1/jobs/{job_id}").json()


def made(client: TestClient, dataset: str, **more: Any) -> Any:
    """The job and the dataset that it has made."""
    answer = post(client, dataset, **more)
    assert answer.status_code == 202, answer.text
    assert run_next(QUEUES)
    job = look(client, answer.json()["id"])
    assert job["state"] == "succeeded", job["error"]
    return job, client.get(job["links"]["dataset"]).json()


def arrays_of(client: TestClient, dataset: str) -> tuple[NDArray[np.uint8], list[str]]:
    answer = client.get(f"/v1/datasets/{dataset}/content?format=npz")
    with np.load(io.BytesIO(answer.content)) as arrays:
        return arrays["x"], arrays["labels"][arrays["y"]].tolist()


def report_of(client: TestClient, job: Any) -> Any:
    return client.get(f"/v1/jobs/{job['id']}/artifacts/augmentation.json").json()
