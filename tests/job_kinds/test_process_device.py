"""Jobs on a virtual GPU in this process: results, usage, and the loss of the device."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from starlette.testclient import TestClient

from core.database import read
from core.settings import get_settings
from core.tables import Job
from job_kinds.process_device import DeviceLost
from job_kinds.training.run import RunningTraining
from models.device import DeviceUnavailable
from tests.conftest import reload
from tests.factories import create_digits_dataset, create_trained_model
from tests.job_runs import create_training_job, get_model_sha256, run_training_job
from tests.tiny_configs import SHORT_EVALUATION
from tests.virtual_gpu import BrokenContext, VirtualGpu
from worker import device_loss
from worker.job_runner import run_next


def set_device(name: str) -> None:
    """Give this process a device, as the environment of a worker's process does."""
    os.environ["SEMBLANCE_DEVICE"] = name
    get_settings.cache_clear()


@contextmanager
def computing_on(kind: str) -> Iterator[None]:
    """Let this process compute on the CPU, or on a virtual GPU."""
    name = {"cpu": "cpu", "gpu": "cuda:0"}[kind]
    with patch.dict(os.environ, SEMBLANCE_DEVICE=name):
        get_settings.cache_clear()
        with VirtualGpu() if kind == "gpu" else nullcontext():
            yield
    get_settings.cache_clear()


@pytest.fixture
def gpu(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualGpu]:
    monkeypatch.setenv("SEMBLANCE_DEVICE", "cuda:0")
    get_settings.cache_clear()
    with VirtualGpu() as virtual_gpu:
        yield virtual_gpu


def find_job(job_id: str) -> Job:
    with read() as session:
        return session.get_one(Job, job_id)


@pytest.mark.slow
def test_a_model_trained_on_a_gpu_equals_that_of_the_cpu_and_counts_gpu_seconds(
    client: TestClient, gpu: VirtualGpu
) -> None:
    dataset = create_digits_dataset()
    on_gpu = create_training_job(client, dataset=dataset, device="gpu", name="a")
    job = run_training_job(client, on_gpu)
    set_device("cpu")
    on_cpu = create_training_job(client, dataset=dataset, device="cpu", name="b")
    assert run_training_job(client, on_cpu)["usage"]["gpu_s"] == 0
    assert (job["state"], job["device_kind"]) == ("succeeded", "gpu"), job["error"]
    assert job["usage"]["gpu_s"] == job["usage"]["wall_s"] > 0
    assert get_model_sha256(on_cpu, 20) == get_model_sha256(on_gpu, 20)
    assert client.get("/v1/usage").json()["jobs"][0]["gpu_s"] == job["usage"]["gpu_s"]


def test_a_generation_job_on_a_gpu_writes_the_files_of_the_cpu_and_counts_gpu_seconds(
    client: TestClient,
) -> None:
    create_trained_model(client, "pets")
    jobs = []
    for device in ("cpu", "gpu"):
        body = {"kind": "generation", "model": "pets", "count": 20, "shard_size": 10, "seed": 3}
        job_id = client.post("/v1/jobs", json=body | {"device": device}).json()["id"]
        with computing_on(device):
            run_next(["generation"])
        jobs.append(client.get(f"/v1/jobs/{job_id}").json())
    assert [job["state"] for job in jobs] == ["succeeded", "succeeded"]
    assert [job["device_kind"] for job in jobs] == ["cpu", "gpu"]
    assert jobs[0]["usage"]["gpu_s"] == 0
    assert jobs[1]["usage"]["gpu_s"] == jobs[1]["usage"]["wall_s"]
    hashes = [
        {row["name"]: row["sha256"] for row in client.get(f"{job['links']['artifacts']}").json()}
        for job in jobs
    ]
    shards = ("shard-00000.tar", "shard-00001.tar")
    assert [hashes[0][name] for name in shards] == [hashes[1][name] for name in shards]


@pytest.mark.parametrize("name", ["people", pytest.param("digits", marks=pytest.mark.slow)])
def test_an_evaluation_job_on_a_gpu_reports_the_scores_of_the_cpu(
    name: str, client: TestClient, gpu: VirtualGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in SHORT_EVALUATION:
        monkeypatch.setattr(setting, (4, 4))
    monkeypatch.setattr("models.metrics.gradient_boosting.TREES", 2)
    set_device("cpu")
    if name == "digits":
        run_training_job(client, create_training_job(client, device="cpu", name=name))
    else:
        create_trained_model(client, name)
    scores = []
    for device in ("cpu", "gpu"):
        set_device({"cpu": "cpu", "gpu": "cuda:0"}[device])
        gpu.clear()
        body = {"kind": "evaluation", "model": name, "samples": 40, "seed": 2, "device": device}
        job_id = client.post("/v1/jobs", json=body).json()["id"]
        run_next(["evaluation"])
        job = client.get(f"/v1/jobs/{job_id}").json()
        assert (job["state"], job["device_kind"]) == ("succeeded", device), job["error"]
        assert bool(gpu.launches) == (device == "gpu")
        scores.append(client.get(f"/v1/jobs/{job_id}/artifacts/report.json").json()["scores"])
    assert scores[0] == scores[1]


def test_a_broken_context_returns_the_job_without_a_worker_loss(
    client: TestClient, gpu: VirtualGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = create_training_job(client, checkpoint={"interval_steps": 5})
    broken = BrokenContext()
    original = RunningTraining.progress

    def progress(run: RunningTraining, step: int) -> float:
        if step == 8:
            broken.__enter__()
        return original(run, step)

    with monkeypatch.context() as patch:
        patch.setattr(RunningTraining, "progress", progress)
        with pytest.raises(DeviceLost):
            run_next(["training"])
    broken.__exit__(None, None, None)
    job = reload(find_job(job_id))
    assert (job.state.value, job.device_losses, job.worker_losses) == ("queued", 1, 0)
    assert run_training_job(client, job_id)["state"] == "succeeded"


def test_a_gpu_that_does_not_exist_returns_the_job(
    client: TestClient, gpu: VirtualGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = create_training_job(client, device="gpu")
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(DeviceLost, match="finds no GPU") as lost:
            run_next(["training"])
    assert isinstance(lost.value.__cause__, DeviceLost)
    assert isinstance(lost.value.__cause__.__cause__, DeviceUnavailable)
    assert find_job(job_id).state.value == "queued"


def test_a_process_that_loses_its_gpu_exits_with_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exited: list[int] = []
    monkeypatch.setattr("os._exit", exited.append)
    with device_loss.exit_on_loss(tmp_path):
        pass
    assert not device_loss.is_flagged(tmp_path)
    with device_loss.exit_on_loss(tmp_path):
        raise DeviceLost("the GPU vanished")
    assert exited == [71]
    assert device_loss.is_flagged(tmp_path)


def test_gpu_seconds_need_a_gpu(client: TestClient) -> None:
    body = {
        "kind": "training",
        "dataset": create_digits_dataset(),
        "budget": {"gpu_seconds": 5},
    }
    created = client.post("/v1/jobs", json=body).json()
    assert (created["device"], created["device_kind"]) == ("gpu", "gpu")
    assert created["queue"]["code"] == "no_gpu_worker"
    rejected = client.post("/v1/jobs", json=body | {"device": "cpu"})
    assert rejected.status_code == 422
    assert rejected.json()["errors"][0]["pointer"] == "/budget/gpu_seconds"
    estimate = client.post("/v1/jobs", json=body | {"validate_only": True}).json()["estimate"]
    assert "GPU" in estimate["basis"]
    assert estimate["minutes"] == 0.08
