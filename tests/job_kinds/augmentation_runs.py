"""Helpers that create augmentation jobs over HTTP, run them in this process and read the result."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from worker.job_runner import run_next

QUEUES = ["evaluation"]


def post(client: TestClient, dataset: str, **options: Any) -> Any:
    body = {"kind": "augmentation", "dataset": dataset, "seed": 3, **options}
    return client.post("/v1/jobs", json=body)


def get_job(client: TestClient, job_id: str) -> Any:
    return client.get(f"/v1/jobs/{job_id}").json()


def augment(client: TestClient, dataset: str, **options: Any) -> Any:
    """Run an augmentation job; return the job and the dataset that it created."""
    answer = post(client, dataset, **options)
    assert answer.status_code == 202, answer.text
    assert run_next(QUEUES)
    job = get_job(client, answer.json()["id"])
    assert job["state"] == "succeeded", job["error"]
    return job, client.get(job["links"]["dataset"]).json()


def download_arrays(client: TestClient, dataset: str) -> tuple[NDArray[np.uint8], list[str]]:
    answer = client.get(f"/v1/datasets/{dataset}/content?format=npz")
    with np.load(io.BytesIO(answer.content)) as arrays:
        return arrays["x"], arrays["labels"][arrays["y"]].tolist()


def get_report(client: TestClient, job: Any) -> Any:
    return client.get(f"/v1/jobs/{job['id']}/artifacts/augmentation.json").json()
