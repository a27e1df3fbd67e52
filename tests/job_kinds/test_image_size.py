"""Trainings on images that are smaller than those of the dataset."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from core.database import read
from core.storage import StoredObject, get_storage
from core.tables import Dataset
from modalities.image import evaluate
from tests.factories import clear_model_caches, create_dataset
from tests.job_runs import (
    create_training_job,
    get_model_sha256,
    interrupt_training,
    run_training_job,
)
from tests.tiny_configs import SHORT_EVALUATION
from tests.uploads import make_zip
from worker.job_runner import run_next


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    for name, steps in SHORT_EVALUATION.items():
        monkeypatch.setattr(name, steps)


def make_wide_images() -> bytes:
    """Return a zip of 24 x 32 images in color, 120 of each of two labels."""
    rng = np.random.default_rng(0)
    files = {}
    for i in range(240):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(out, "PNG")
        files[f"{'ab'[i % 2]}/{i}.png"] = out.getvalue()
    return make_zip(files)


def objects_of(dataset_id: str) -> set[str]:
    with read() as session:
        return set(session.get_one(Dataset, dataset_id).objects)


def sample_shape(client: TestClient, model: str) -> tuple[int, ...]:
    body = {"labels": {"a": 1, "b": 1}, "seed": 1}
    content = client.post(f"/v1/models/{model}/samples?format=npz", json=body).content
    return np.load(io.BytesIO(content))["x"].shape[1:]


@pytest.mark.slow
def test_a_model_of_reduced_images_resumes_samples_is_evaluated_and_exported(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear_model_caches()
    dataset = create_dataset(make_wide_images())
    uninterrupted = create_training_job(client, dataset=dataset, image_size=16, evaluate=False)
    job = run_training_job(client, uninterrupted)
    assert job["state"] == "succeeded", job["error"]
    assert objects_of(dataset) >= {"x", "x-12x16"}

    interrupted = create_training_job(
        client, dataset=dataset, image_size=16, checkpoint={"interval_steps": 4}
    )
    interrupt_training(client, interrupted, monkeypatch, at_step=14)
    model = run_training_job(client, interrupted)["result"]["model"]
    assert get_model_sha256(interrupted, 20) == get_model_sha256(uninterrupted, 20)

    assert sample_shape(client, model) == (12, 16, 3)
    answer = client.post(
        "/v1/jobs", json={"kind": "evaluation", "model": model, "samples": 40, "seed": 2}
    )
    assert run_next(["evaluation"])
    evaluation = client.get(f"/v1/jobs/{answer.json()['id']}").json()
    assert evaluation["state"] == "succeeded", evaluation["error"]

    archive = client.get(f"/v1/models/{model}/export").content
    assert zipfile.ZipFile(io.BytesIO(archive)).testzip() is None
    imported = client.post(
        "/v1/models/import?name=copy",
        content=archive,
        headers={"Content-Type": "application/zip"},
    )
    assert imported.status_code == 201, imported.text
    assert sample_shape(client, "copy") == (12, 16, 3)


def test_pixels_are_the_means_of_the_covered_pixels(client: TestClient) -> None:
    dataset = create_dataset(make_wide_images())
    run_training_job(client, create_training_job(client, dataset=dataset, image_size=16))
    with read() as session:
        objects = session.get_one(Dataset, dataset).objects
    original, reduced = (
        np.load(io.BytesIO(get_storage().read(StoredObject.from_dict(objects[name]))))
        for name in ("x", "x-12x16")
    )
    means = original.reshape(-1, 12, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(reduced - means).max() <= 1  # rows and columns are rounded one after the other


def test_the_estimate_uses_the_chosen_size(client: TestClient) -> None:
    body = {
        "kind": "training",
        "dataset": create_dataset(make_wide_images()),
        "budget": {"cpu_seconds": 60},
        "validate_only": True,
    }
    full, reduced = (
        client.post("/v1/jobs", json=body | {"image_size": size}).json() for size in (32, 16)
    )
    assert reduced["resolved"]["hyperparameters"]["width"] == 16
    assert reduced["estimate"]["steps"] > 1.3 * full["estimate"]["steps"]
    assert reduced["estimate"]["memory_bytes"] < full["estimate"]["memory_bytes"]


@pytest.mark.parametrize("size", [33, 9])
def test_a_size_that_the_dataset_does_not_permit_is_rejected(size: int, client: TestClient) -> None:
    body: dict[str, Any] = {"kind": "training", "dataset": create_dataset(make_wide_images())}
    response = client.post("/v1/jobs", json=body | {"image_size": size})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/image_size"
    assert "between 10 and 32" in error["message"]


@pytest.mark.slow
def test_an_evaluation_compares_reduced_copies_of_large_images(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "MAX_EVALUATED_SIDE", 16)
    clear_model_caches()
    dataset = create_dataset(make_wide_images())
    job = run_training_job(client, create_training_job(client, dataset=dataset, evaluate=True))
    assert run_next(["evaluation"])
    report = client.get(f"/v1/models/{job['result']['model']}/report").json()
    assert report["scores"], report
    assert "x-12x16" in objects_of(dataset)
