"""Training jobs in the worker: resuming, failures, budgets and `init_from`."""

import hashlib
import io
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sqlalchemy import delete
from starlette.testclient import TestClient

from core import jobs, model_registry
from core.database import read, write
from core.datasets import builtin
from core.errors import StorageFull
from core.leases import LeaseLost
from core.settings import Settings
from core.storage import Storage
from core.tables import Dataset, Job, Model
from job_kinds.training.run import RunningTraining
from modalities.image.encode import encode_png as png_of
from models import losses
from models.images import early_stopping
from models.images.vae_gan.training import VaeGan
from models.tabular import prepare
from tests.conftest import TENANT, expire_lease
from tests.factories import create_dataset, create_digits_dataset
from tests.job_runs import (
    corrupt_object,
    create_training_job,
    get_model_sha256,
    interrupt_training,
    list_checkpoints,
    record_start_steps,
    run_training_job,
)
from tests.tiny_configs import TINY_IMAGE_CONFIG, TINY_TABLE_CONFIG
from tests.uploads import make_people_csv, make_zip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_job_resumed_after_a_lost_worker_has_the_same_weights_as_an_uninterrupted_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = create_training_job(client)
    assert run_training_job(client, uninterrupted)["state"] == "succeeded"
    interrupted = create_training_job(client, checkpoint={"interval_steps": 4})
    interrupt_training(client, interrupted, monkeypatch, at_step=14)
    assert client.get(f"/v1/jobs/{interrupted}").json()["state"] == "queued"
    job = run_training_job(client, interrupted)
    assert (job["state"], job["attempt"], job["result"]["step"]) == ("succeeded", 2, 20)
    assert get_model_sha256(interrupted, 20) == get_model_sha256(uninterrupted, 20)
    saved = client.get(f"/v1/jobs/{interrupted}/events?type=checkpoint").json()["data"]
    assert [event["step"] for event in saved] == [4, 8, 12, 16, 20]  # each step once


def test_job_resumes_from_the_previous_checkpoint_when_the_latest_is_damaged(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    uninterrupted = create_training_job(client)
    run_training_job(client, uninterrupted)
    interrupted = create_training_job(client, checkpoint={"interval_steps": 4})
    interrupt_training(client, interrupted, monkeypatch, at_step=14)
    newest = list_checkpoints(interrupted)[0]
    assert newest.step == 12
    corrupt_object(configured, newest.files["state"]["key"])
    start_steps = record_start_steps(monkeypatch)
    job = run_training_job(client, interrupted)
    assert start_steps == [8]
    assert job["state"] == "succeeded"
    assert get_model_sha256(interrupted, 20) == get_model_sha256(uninterrupted, 20)


def test_job_restarts_from_step_zero_when_every_checkpoint_is_damaged(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, configured: Settings
) -> None:
    interrupted = create_training_job(client, checkpoint={"interval_steps": 4})
    interrupt_training(client, interrupted, monkeypatch, at_step=14)
    for row in list_checkpoints(interrupted):
        corrupt_object(configured, row.files["state"]["key"])
    start_steps = record_start_steps(monkeypatch)
    assert run_training_job(client, interrupted)["state"] == "succeeded"
    assert start_steps == [0]


def test_non_finite_loss_fails_the_job_with_its_reason(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "kl_to_standard_normal", lambda a, b: (a + b).mean() * math.nan)
    job = run_training_job(client, create_training_job(client))
    assert (job["state"], job["error"]["code"]) == ("failed", "non_finite_loss")
    assert client.get("/v1/models").json()["data"] == []


def test_full_disk_fails_the_job_with_its_reason(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_storage_full(*_: object) -> None:
        raise StorageFull("no space left")

    job_id = create_training_job(client)
    monkeypatch.setattr(Storage, "put", raise_storage_full)
    job = run_training_job(client, job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "disk_full")


def test_job_with_a_corrupted_dataset_fails(client: TestClient, configured: Settings) -> None:
    job_id = create_training_job(client)
    with read() as session:
        dataset = session.get_one(Dataset, session.get_one(Job, job_id).dataset_id)
    corrupt_object(configured, dataset.objects["x"]["key"])
    job = run_training_job(client, job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "dataset_unreadable")


def test_worker_that_lost_its_lease_writes_no_checkpoint_and_no_model(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = create_training_job(client)
    save = RunningTraining.save

    def save_after_lost_lease(self: RunningTraining, step: int, saved: Any) -> None:
        with write() as session:
            expire_lease(session, session.get_one(Job, job_id))
        with write() as session:
            jobs.sweep(session)
        with pytest.raises(LeaseLost):
            save(self, step, saved)
        raise LeaseLost(job_id)

    monkeypatch.setattr(RunningTraining, "save", save_after_lost_lease)
    assert run_training_job(client, job_id)["state"] == "queued"
    assert list_checkpoints(job_id) == []
    assert client.get("/v1/models").json()["data"] == []


@pytest.mark.parametrize("budget", [{"steps": 7}, {"cpu_seconds": 1.0}, {"wall_minutes": 0.01}])
def test_each_kind_of_budget_ends_the_run(client: TestClient, budget: dict[str, float]) -> None:
    job = run_training_job(client, create_training_job(client, budget=budget))
    assert job["state"] == "succeeded"
    assert job["progress"]["percent"] > 90


def test_log_line_shows_the_losses_of_critic_and_generator(client: TestClient) -> None:
    job_id = create_training_job(client)
    run_training_job(client, job_id)
    logs = client.get(f"/v1/jobs/{job_id}/logs").text
    line = next(line for line in logs.splitlines() if "step 20: " in line)
    names = re.findall(r"([a-z ]+) -?[0-9]+\.[0-9]{3}", line.partition("step 20: ")[2])
    assert {"critic loss", "generator loss"} <= {name.strip() for name in names}


def test_previews_of_a_run_are_artifacts_and_one_animation(client: TestClient) -> None:
    job_id = create_training_job(client)
    url = f"/v1/jobs/{job_id}"
    assert client.get(f"{url}/previews.gif").status_code == 404
    run_training_job(client, job_id)
    files = client.get(f"{url}/artifacts").json()
    animation = client.get(f"{url}/previews.gif")
    assert animation.headers["content-type"] == "image/gif"
    with Image.open(io.BytesIO(animation.content)) as frames:
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


@pytest.mark.slow
def test_run_that_collapses_at_its_end_keeps_the_model_of_its_best_step(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_average = VaeGan.update_average

    def collapse_at_end(self: VaeGan, step: int) -> None:
        update_average(self, step)
        if step > 0.8 * 280:
            for weight in self.average.network.parameters():
                weight.zero_()

    monkeypatch.setattr(VaeGan, "update_average", collapse_at_end)
    monkeypatch.setattr(early_stopping, "WARMUP_STEPS", 200)
    job_id = create_training_job(
        client, budget={"steps": 280}, hyperparameters=TINY_IMAGE_CONFIG | {"log_interval": 40}
    )
    job = run_training_job(client, job_id)
    best = max(list_checkpoints(job_id), key=lambda row: row.score or 0)
    assert job["result"]["step"] == best.step <= 225
    score_lines = [
        e for e in client.get(f"/v1/jobs/{job_id}/logs").text.splitlines() if "score" in e
    ]
    assert len(score_lines) == 1


def test_run_that_learns_nothing_is_stopped_with_its_reason(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_stopping, "WARMUP_STEPS", 100)
    mute = {"architecture": "mlp", "generator_lr": 1e-9, "batch_size": 8, "log_interval": 20}
    still = {"hyperparameters": mute, "budget": {"steps": 140}}
    job = run_training_job(client, create_training_job(client, **still))
    assert (job["state"], job["error"]["code"]) == ("failed", "collapsed")
    assert "% of the budget" in job["error"]["detail"]
    job_id = create_training_job(client, early_stopping=False, **still)
    assert run_training_job(client, job_id)["state"] == "succeeded"


def test_init_from_starts_with_the_networks_of_the_base_model(client: TestClient) -> None:
    first = create_training_job(client, name="digits", budget={"steps": 60})
    run_training_job(client, first)
    second = create_training_job(
        client,
        name="more",
        init_from="digits",
        budget={"steps": 4},
        hyperparameters={"log_interval": 1},
    )
    job = run_training_job(client, second)
    assert job["state"] == "succeeded"
    start = job["resolved"]["init_from"]
    assert start["label_map"] == list(range(10))
    assert job["resolved"]["hyperparameters"]["latent_dim"] == TINY_IMAGE_CONFIG["latent_dim"]
    assert "feature_loss" not in client.get(f"/v1/jobs/{second}/metrics").json()


def test_init_from_an_incompatible_model_is_rejected(client: TestClient) -> None:
    run_training_job(client, create_training_job(client, name="digits"))

    def pointer(**config: Any) -> str:
        dataset = create_digits_dataset()
        body = {"kind": "training", "dataset": dataset, "init_from": "digits"}
        answer = client.post("/v1/jobs", json=body | {"hyperparameters": config})
        assert answer.status_code == 422
        first_pointer: str = answer.json()["errors"][0]["pointer"]
        return first_pointer

    assert pointer(latent_dim=9) == "/hyperparameters/latent_dim"
    with write() as session:  # change the image size in the row of the model
        model = model_registry.get(session, TENANT, "digits")
        spec = model.manifest["training"]
        large = spec | {"hyperparameters": spec["hyperparameters"] | {"height": 16}}
        model.manifest = model.manifest | {"training": large}
    assert pointer() == "/init_from"
    with write() as session:
        model_registry.get(session, TENANT, "digits").modality = "tabular"
    assert pointer() == "/init_from"


def test_job_fails_when_the_base_model_was_deleted(client: TestClient) -> None:
    run_training_job(client, create_training_job(client, name="digits"))
    second = create_training_job(client, init_from="digits", hyperparameters={})
    with write() as session:
        session.execute(delete(Model))
    job = run_training_job(client, second)
    assert (job["state"], job["error"]["code"]) == ("failed", "dataset_unreadable")
    assert "The base model of `init_from`" in job["error"]["detail"]


def test_unlabeled_images_are_used_for_training_with_pseudo_labels(
    client: TestClient,
) -> None:
    (source,) = builtin.get_digits()
    with np.load(source.path) as digits:
        x, y = digits["x"][:300], digits["y"][:300]
    files = {f"{i}.png": png_of(image) for i, image in enumerate(x)}
    rows = [f"{i}.png,{y[i] if i % 3 == 0 else ''}" for i in range(300)]
    files["labels.csv"] = "\n".join(["path,label", *rows]).encode()
    dataset = create_dataset(make_zip(files), "digits.zip")
    config = TINY_IMAGE_CONFIG | {
        "feature_budget_fraction": 0.4,
        "critic_start_fraction": 0.6,
        "feature_lr": 0.02,
    }
    job = run_training_job(
        client,
        create_training_job(client, dataset=dataset, budget={"steps": 150}, hyperparameters=config),
    )
    assert job["state"] == "succeeded"
    metrics = client.get(f"/v1/jobs/{job['id']}/metrics?names=pseudo_labels").json()
    assert 20 < metrics["pseudo_labels"]["values"][0] <= 200
    labels = client.get(f"/v1/models/{job['result']['model']}/sampling-options").json()["labels"]
    assert [label["name"] for label in labels] == [str(n) for n in range(10)]


def test_a_job_warns_once_of_a_relation_that_does_not_exist(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    new = create_training_job(
        client,
        dataset=dataset,
        budget={"steps": 6},
        checkpoint={"interval_steps": 20},
        hyperparameters={**TINY_TABLE_CONFIG, "relations": ["no -> such"]},
    )
    interrupt_training(client, new, monkeypatch, at_step=4)
    job = run_training_job(client, new)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    (warning,) = (each for each in job["warnings"] if each["code"] == "unknown_relation")
    assert "'no -> such'" in warning["message"]


def test_the_relations_of_a_table_are_detected_once_in_a_job(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect, calls = prepare.detect_relations, []

    def record(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return detect(*arguments, **options)

    monkeypatch.setattr(prepare, "detect_relations", record)
    dataset = create_dataset(make_people_csv(), "people.csv", target="income")
    new = create_training_job(
        client, dataset=dataset, budget={"steps": 4}, hyperparameters=TINY_TABLE_CONFIG
    )
    job = run_training_job(client, new)
    assert job["state"] == "succeeded", job["error"]
    assert len(calls) == 1
