"""A training job in the worker: from where it goes on, and how it fails."""

import hashlib
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sqlalchemy import delete
from starlette.testclient import TestClient
from torch import Tensor

from core import jobs, model_registry
from core.database import read, write
from core.datasets import builtin
from core.datasets.images.writing import encode_png as png_of
from core.errors import StorageFull
from core.jobs import LeaseLost
from core.settings import Settings
from core.storage import Storage
from core.tables import Dataset, Job, Model
from models import losses
from models.images.vae_gan.training import VaeGanTrainer
from tests.conftest import TENANT, expire_lease
from tests.factories import a_dataset, digits
from tests.job_runs import break_off, checkpoints, damage, model_sha, post, run, started_from
from tests.tiny_configs import TINY
from tests.uploads import zip_of
from worker import training


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_a_job_whose_worker_is_lost_ends_with_the_weights_of_an_unbroken_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = post(client)
    assert run(client, whole)["state"] == "succeeded"
    broken = post(client, checkpoint={"interval_steps": 4})
    break_off(client, broken, monkeypatch, at_step=14)
    assert client.get(f"/v1/jobs/{broken}").json()["state"] == "queued"
    job = run(client, broken)
    assert (job["state"], job["attempt"], job["result"]["step"]) == ("succeeded", 2, 20)
    assert model_sha(broken, 20) == model_sha(whole, 20)
    saved = client.get(f"/v1/jobs/{broken}/events?type=checkpoint").json()["data"]
    assert [event["step"] for event in saved] == [4, 8, 12, 16, 20]  # each of them once


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    whole = post(client)
    run(client, whole)
    broken = post(client, checkpoint={"interval_steps": 4})
    break_off(client, broken, monkeypatch, at_step=14)
    newest = checkpoints(broken)[0]
    assert newest.step == 12
    damage(configured, newest.files["state"]["key"])
    began = started_from(monkeypatch)
    job = run(client, broken)
    assert began == [8]
    assert job["state"] == "succeeded"
    assert model_sha(broken, 20) == model_sha(whole, 20)


def test_when_every_checkpoint_is_damaged_the_job_begins_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    broken = post(client, checkpoint={"interval_steps": 4})
    break_off(client, broken, monkeypatch, at_step=14)
    for row in checkpoints(broken):
        damage(configured, row.files["state"]["key"])
    began = started_from(monkeypatch)
    assert run(client, broken)["state"] == "succeeded"
    assert began == [0]


def test_a_loss_that_is_no_number_fails_the_job_with_its_reason(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "kl_to_standard_normal", lambda a, b: (a + b).mean() * math.nan)
    job = run(client, post(client))
    assert (job["state"], job["error"]["code"]) == ("failed", "non_finite_loss")
    assert client.get("/v1/models").json()["data"] == []


def test_a_full_disk_fails_the_job_with_its_reason(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageFull("full")

    job_id = post(client)
    monkeypatch.setattr(Storage, "put", full)
    job = run(client, job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "disk_full")


def test_a_dataset_whose_bytes_have_changed_is_not_trained_on(
    client: TestClient, configured: Settings
) -> None:
    job_id = post(client)
    with read() as session:
        dataset = session.get_one(Dataset, session.get_one(Job, job_id).dataset_id)
    damage(configured, dataset.objects["x"]["key"])
    job = run(client, job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "dataset_unreadable")


def test_a_worker_that_has_lost_its_job_writes_nothing_more(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = post(client)
    stored = training.JobTrainingCallbacks.save

    def taken_away(self: training.JobTrainingCallbacks, step: int, saved: Any) -> None:
        with write() as session:
            expire_lease(session, session.get_one(Job, job_id))
        with write() as session:
            jobs.sweep(session)
        with pytest.raises(LeaseLost):
            stored(self, step, saved)
        raise LeaseLost(job_id)

    monkeypatch.setattr(training.JobTrainingCallbacks, "save", taken_away)
    assert run(client, job_id)["state"] == "queued"
    assert checkpoints(job_id) == []
    assert client.get("/v1/models").json()["data"] == []


@pytest.mark.parametrize("budget", [{"steps": 7}, {"cpu_seconds": 1.0}, {"wall_minutes": 0.01}])
def test_each_budget_ends_the_run(client: TestClient, budget: dict[str, float]) -> None:
    job = run(client, post(client, budget=budget))
    assert job["state"] == "succeeded"
    assert job["progress"]["percent"] > 90


def test_a_log_line_says_both_sides_of_the_game(client: TestClient) -> None:
    job_id = post(client)
    run(client, job_id)
    logs = client.get(f"/v1/jobs/{job_id}/logs").text
    assert "20 [D 0." in logs
    assert "] [G " in logs


def test_the_pictures_of_a_run_are_files_and_one_film(client: TestClient) -> None:
    job_id = post(client)
    url = f"/v1/jobs/{job_id}"
    assert client.get(f"{url}/previews.gif").status_code == 404
    run(client, job_id)
    files = client.get(f"{url}/artifacts").json()
    film = client.get(f"{url}/previews.gif")
    assert film.headers["content-type"] == "image/gif"
    with Image.open(io.BytesIO(film.content)) as frames:
        assert 1 < frames.n_frames <= len(files)
    last = client.get(files[-1]["url"])
    assert hashlib.sha256(last.content).hexdigest() == files[-1]["sha256"]
    tag = last.headers["etag"]
    assert client.get(files[-1]["url"], headers={"if-none-match": tag}).status_code == 304
    part = client.get(files[-1]["url"], headers={"range": "bytes=-8"})
    assert (part.status_code, part.content) == (206, last.content[-8:])
    assert part.headers["content-range"].endswith(f"/{len(last.content)}")
    beyond = client.get(files[-1]["url"], headers={"range": "bytes=9999999-"})
    assert beyond.status_code == 416
    assert client.get(f"{url}/artifacts/nothing.png").status_code == 404


def test_a_run_that_falls_apart_at_its_end_gives_the_model_of_its_best_step(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = VaeGanTrainer.train_step

    def learn(self: VaeGanTrainer, images: Tensor, y: Tensor, progress: float, run: Any) -> Any:
        logged = whole(self, images, y, progress, run)
        if progress > 0.8:
            for weight in self.ema.parameters():
                weight.zero_()
        return logged

    monkeypatch.setattr(VaeGanTrainer, "train_step", learn)
    job_id = post(client, budget={"steps": 700}, hyperparameters=TINY | {"log_interval": 100})
    job = run(client, job_id)
    best = max(checkpoints(job_id), key=lambda row: row.score or 0)
    assert job["result"]["step"] == best.step <= 561
    warned = [e for e in client.get(f"/v1/jobs/{job_id}/logs").text.splitlines() if "score" in e]
    assert len(warned) == 1


def test_a_run_that_learns_nothing_is_given_up_with_its_reason(client: TestClient) -> None:
    mute = {"architecture": "mlp", "generator_lr": 1e-9, "batch_size": 8, "log_interval": 100}
    still = {"hyperparameters": mute, "budget": {"steps": 700}}
    job = run(client, post(client, **still))
    assert (job["state"], job["error"]["code"]) == ("failed", "collapsed")
    assert "% of the budget" in job["error"]["detail"]
    assert run(client, post(client, early_stopping=False, **still))["state"] == "succeeded"


def test_a_warm_start_begins_with_the_networks_of_another_model(client: TestClient) -> None:
    first = post(client, name="digits", budget={"steps": 60})
    run(client, first)
    second = post(
        client,
        name="more",
        init_from="digits",
        budget={"steps": 4},
        hyperparameters={"log_interval": 1},
    )
    job = run(client, second)
    assert job["state"] == "succeeded"
    start = job["resolved"]["init_from"]
    assert start["label_map"] == list(range(10))
    assert job["resolved"]["hyperparameters"]["latent_dim"] == TINY["latent_dim"]
    assert "feature_loss" not in client.get(f"/v1/jobs/{second}/metrics").json()


def test_a_warm_start_that_does_not_fit_is_refused(client: TestClient) -> None:
    run(client, post(client, name="digits"))

    def pointer(**config: Any) -> str:
        dataset = digits()
        body = {"kind": "training", "dataset": dataset, "init_from": "digits"}
        answer = client.post("/v1/jobs", json=body | {"hyperparameters": config})
        assert answer.status_code == 422
        found: str = answer.json()["errors"][0]["pointer"]
        return found

    assert pointer(latent_dim=9) == "/hyperparameters/latent_dim"
    with write() as session:  # a model whose row says another size
        model = model_registry.get(session, TENANT, "digits")
        spec = model.manifest["training"]
        large = spec | {"hyperparameters": spec["hyperparameters"] | {"height": 16}}
        model.manifest = model.manifest | {"training": large}
    assert pointer() == "/init_from"
    with write() as session:
        model_registry.get(session, TENANT, "digits").modality = "tabular"
    assert pointer() == "/init_from"


def test_a_warm_start_from_a_model_that_is_gone_fails_with_its_reason(client: TestClient) -> None:
    run(client, post(client, name="digits"))
    second = post(client, init_from="digits", hyperparameters={})
    with write() as session:
        session.execute(delete(Model))
    job = run(client, second)
    assert (job["state"], job["error"]["code"]) == ("failed", "dataset_unreadable")
    assert "the model to start from" in job["error"]["detail"]


def test_images_without_a_label_are_learned_from_beside_those_that_have_one(
    client: TestClient,
) -> None:
    (source,) = builtin.get_digits()
    with np.load(source.path) as digits:
        x, y = digits["x"][:300], digits["y"][:300]
    files = {f"{i}.png": png_of(image) for i, image in enumerate(x)}
    told = [f"{i}.png,{y[i] if i % 3 == 0 else ''}" for i in range(300)]
    files["labels.csv"] = "\n".join(["path,label", *told]).encode()
    dataset = a_dataset(zip_of(files), "digits.zip")
    config = TINY | {
        "feature_budget_fraction": 0.4,
        "critic_start_fraction": 0.6,
        "feature_lr": 0.02,
    }
    job = run(client, post(client, dataset=dataset, budget={"steps": 150}, hyperparameters=config))
    assert job["state"] == "succeeded"
    metrics = client.get(f"/v1/jobs/{job['id']}/metrics?names=pseudo_labels").json()
    assert 20 < metrics["pseudo_labels"]["values"][0] <= 200
    labels = client.get(f"/v1/models/{job['result']['model']}/sampling-options").json()["labels"]
    assert [label["name"] for label in labels] == [str(n) for n in range(10)]
