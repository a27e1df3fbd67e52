"""The whole line: a dataset over HTTP, a job through a real broker and a real Celery worker, a
checkpoint, samples; and what happens when parts of it die.
"""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from semblance import APIError, Client, command
from typer.testing import CliRunner

from tests.core.webhooks.receiver import Receiver
from tests.processes import Server, eventually, serving
from tests.servers import BROKER
from tests.tiny_configs import TINY_IMAGE_CONFIG
from tests.uploads import make_people_csv

EXAMPLES = Path(__file__).parents[1] / "examples"

WEBHOOKS_HERE = {
    "SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS": '["127.0.0.1"]',
    "SEMBLANCE_WEBHOOK_ALLOW_HTTP": "true",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "data", **WEBHOOKS_HERE) as running:
        eventually(running.is_ready)
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with server.client() as connected:
        yield connected


def test_digits_go_in_and_labelled_samples_come_out(
    server: Server, client: Client, tmp_path: Path
) -> None:
    dataset = client.create_builtin_dataset("digits")
    job = client.train(
        dataset["id"],
        name="digits",
        preset="fast",
        hyperparameters=TINY_IMAGE_CONFIG,
        budget={"steps": 30},
        seed=1,
    )
    assert job["state"] == "queued"
    done = client.wait(job["id"])
    assert (done["result"]["step"], done["result"]["model_version"]) == (30, "digits:1")
    assert "celery" in server.log()
    assert server.find("celery")
    assert BROKER is not None or server.find("redis-server")

    asked = {str(i): i + 1 for i in range(10)}
    with np.load(io.BytesIO(client.samples("digits", labels=asked, seed=7, format="npz"))) as made:
        assert made["x"].shape == (55, 8, 8)
        assert np.bincount(made["y"]).tolist() == list(asked.values())
    archive = client.samples("digits:1", count=20, seed=7)
    assert len(zipfile.ZipFile(io.BytesIO(archive)).namelist()) == 21

    (tmp_path / "again.zip").write_bytes(archive)
    again = client.upload(tmp_path / "again.zip")
    assert again["train_items"] == 20

    many = client.generate("digits", labels={"3": 25}, seed=7, format="npz", shard_size=10)
    client.wait(many["id"])
    files = client.download_artifacts(many["id"], tmp_path / "made")
    files[1].write_bytes(b"broken off")
    kept = files[0].stat().st_mtime_ns
    assert client.download_artifacts(many["id"], tmp_path / "made") == files
    assert files[0].stat().st_mtime_ns == kept
    at_once = client.samples("digits", labels={"3": 25}, seed=7, format="npz")
    with np.load(io.BytesIO(at_once)) as whole:
        parts = [np.load(file)["x"] for file in files]
        assert np.array_equal(np.concatenate(parts), whole["x"])

    metrics = client.request("GET", f"/v1/jobs/{job['id']}/metrics").json()
    assert metrics["critic_accuracy_real"]["steps"] == [5, 10, 15, 20, 25, 30]
    previews = client.request("GET", f"/v1/jobs/{job['id']}/previews").json()
    picture = client.request("GET", previews[-1]["url"])
    assert picture.headers["content-type"] == "image/png"


def test_a_larger_set_is_planned_made_and_saved_from_a_shell(
    server: Server, client: Client, tmp_path: Path
) -> None:
    dataset = client.create_builtin_dataset("digits")["id"]
    shell = CliRunner()
    key = (server.folder / "admin.key").read_text().strip()
    service = ["--key", key, "--url", server.url]
    more = ["--strategy", "multiply", "--target", "1.2", "--seed", "1", *service]
    planned = shell.invoke(command.app, ["augment", dataset, "--plan", *more])
    assert planned.exit_code == 0, planned.output
    assert "transforms" in planned.output
    before = client.request("GET", "/v1/datasets").json()["data"]
    made = shell.invoke(command.app, ["augment", dataset, *more])
    assert made.exit_code == 0, made.output
    new = client.request("GET", "/v1/datasets").json()["data"][0]
    assert new["id"] in made.output
    assert new["id"] not in {one["id"] for one in before}
    assert len(client.provenance(new["id"])) == new["train_items"]
    file = tmp_path / "larger.npz"
    saved = shell.invoke(command.app, ["download", new["id"], str(file), *service])
    assert saved.exit_code == 0, saved.output
    with np.load(file) as arrays:
        assert len(arrays["x"]) == new["train_items"]
    assert json.loads(client.artifact(new["derived_from"]["job"], "augmentation.json"))["seed"] == 1


def test_the_server_binds_to_this_machine_alone_and_its_files_are_its_owners(
    server: Server,
) -> None:
    for process in [psutil.Process(server.process.pid), *server.descendants()]:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert (connection.laddr.ip, connection.laddr.port) == ("127.0.0.1", server.port)
    assert (server.folder / "admin.key").stat().st_mode & 0o777 == 0o600
    assert server.folder.stat().st_mode & 0o777 == 0o700
    if BROKER is None:
        assert (server.folder / "redis" / "redis.sock").stat().st_mode & 0o077 == 0


def test_a_second_server_on_the_same_folder_is_refused(server: Server) -> None:
    command = Path(sys.executable).with_name("semblance-server")
    second = subprocess.run(
        [str(command), "up", "--data", str(server.folder), "--port", "1"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 1
    assert "Another server" in second.stdout


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as serving:
        yield serving


def test_a_worker_tells_webhooks_of_a_job(client: Client, receiver: Receiver) -> None:
    """Nobody calls `deliver_due` but the worker."""
    body = {"url": receiver.url, "events": ["job.cancelled"]}
    webhook = client.request("POST", "/v1/webhooks", json=body).json()
    dataset = client.create_builtin_dataset("digits")
    job = client.train(dataset["id"], budget={"steps": 1_000_000})
    client.request("POST", f"/v1/jobs/{job['id']}/cancel")
    eventually(lambda: receiver.received)
    (message,) = receiver.received
    assert message.is_signed_with(webhook["secret"])
    assert message.json["data"]["id"] == job["id"]

    def delivered() -> bool:
        (row,) = client.request("GET", webhook["links"]["deliveries"]).json()["data"]
        return bool(row["state"] == "delivered")

    eventually(delivered)
    client.request("DELETE", webhook["links"]["self"])


@pytest.mark.slow  # as test_chaos.py has it for each point at which a worker can die
def test_a_job_whose_worker_is_killed_finishes_once_from_its_last_checkpoint(
    server: Server, client: Client
) -> None:
    dataset = client.create_builtin_dataset("digits")
    job = client.train(
        dataset["id"],
        name="killed",
        preset="fast",
        hyperparameters=TINY_IMAGE_CONFIG,
        budget={"steps": 600},
        checkpoint={"interval_steps": 20},
        seed=1,
    )
    path = f"/v1/jobs/{job['id']}"
    saved = eventually(lambda: client.request("GET", f"{path}/checkpoints").json())
    for process in server.find("multiprocessing") + server.find("spawn"):
        kill(process)
    done = client.wait(job["id"])
    events = client.request("GET", f"{path}/events?type=state&limit=50").json()["data"]
    states = [event["data"]["state"] for event in events]
    assert states == ["queued", "running", "queued", "running", "succeeded"]
    assert (done["attempt"], done["result"]["step"]) == (2, 600)
    assert f'"step": {saved[0]["step"]}' in server.log() or "resuming from" in server.log()
    versions = client.request("GET", "/v1/models").json()["data"]
    assert [m["version"] for m in versions if m["name"] == "killed"] == [1]


def kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def test_a_running_job_is_cancelled_and_keeps_its_last_checkpoint(client: Client) -> None:
    dataset = client.create_builtin_dataset("digits")
    job = client.train(
        dataset["id"],
        name="cancelled",
        hyperparameters=TINY_IMAGE_CONFIG,
        budget={"steps": 1_000_000},
    )
    eventually(lambda: client.job(job["id"])["progress"]["step"] > 10)
    assert client.cancel(job["id"])["state"] == "cancelling"
    eventually(lambda: client.job(job["id"])["state"] == "cancelled")
    assert client.request("GET", f"/v1/jobs/{job['id']}/checkpoints").json()
    with pytest.raises(APIError, match="Allowed actions: retry") as refused:
        client.cancel(job["id"])
    assert refused.value.status == 409


@pytest.mark.slow  # as test_chaos.py has it for an API that dies between commit and hint
def test_a_dead_api_comes_back(server: Server, client: Client) -> None:
    (api,) = server.find("-m app")
    api.kill()
    eventually(lambda: not psutil.pid_exists(api.pid) or api.status() == psutil.STATUS_ZOMBIE)
    eventually(server.answers)
    assert client.request("GET", "/v1").json()["name"] == "Semblance"


@dataclass
class Stopped:
    """How a server ended that was ready, and which processes it had then."""

    folder: Path
    status: int
    family: list[psutil.Process]
    output: str


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> list[Stopped]:
    """Two servers on one folder, one after the other: by SIGTERM, and by Ctrl-C."""
    folder, ended = tmp_path_factory.mktemp("stopped") / "data", []
    for number in (signal.SIGTERM, signal.SIGINT):
        with serving(folder) as server:
            eventually(server.is_ready)
            family = server.descendants()
            status = server.stop(number)
            assert server.process.stdout is not None
            ended.append(Stopped(folder, status, family, server.process.stdout.read()))
    return ended


@pytest.mark.parametrize("turn", [0, 1], ids=["SIGTERM", "SIGINT"])
def test_a_server_that_is_stopped_leaves_no_process_behind(
    stopped: list[Stopped], turn: int
) -> None:
    family = stopped[turn].family
    assert len(family) >= (4 if BROKER is None else 3)
    assert stopped[turn].status == 0
    gone, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert len(gone) == len(family)


def test_the_first_key_is_told_once(stopped: list[Stopped]) -> None:
    first, second = stopped
    key = (first.folder / "admin.key").read_text().strip()
    assert key in first.output
    assert f"#key={key}" in first.output
    assert key not in second.output
    assert key not in (first.folder / "server.log").read_text()


@pytest.mark.slow  # as test_chaos.py has it for a worker whose clock is off, too
def test_without_any_broker_jobs_are_done_all_the_same(tmp_path: Path) -> None:
    with serving(tmp_path / "data", SEMBLANCE_BROKER_URL="none") as server:
        eventually(server.is_ready)
        with server.client() as client:
            dataset = client.create_builtin_dataset("digits")
            job = client.train(
                dataset["id"], hyperparameters=TINY_IMAGE_CONFIG, budget={"steps": 10}
            )
            assert client.wait(job["id"])["attempt"] == 1
        assert server.find("redis-server") == []


def test_the_api_answers_before_torch_is_there() -> None:
    program = "import sys, app.main; app.main.create_app(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert done.stdout.strip() == "False"


def run_example(server: Server, name: str, *arguments: str) -> str:
    """Return the output of a program in `examples/`, run as a user would run it."""
    key = (server.folder / "admin.key").read_text().strip()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=os.environ | {"SEMBLANCE_URL": server.url, "SEMBLANCE_KEY": key},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_for_images_saves_the_labels_it_names(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "digits.zip"
    assert "100 images" in run_example(server, "digits.py", str(out), "2")
    with zipfile.ZipFile(out) as archive:
        images = [name for name in archive.namelist() if name.endswith(".png")]
    folders = [name.split("/")[-2] for name in images]
    assert (folders.count("3"), folders.count("7"), len(images)) == (50, 50, 100)


def test_the_example_for_tables_balances_the_labels(server: Server, tmp_path: Path) -> None:
    table, out = tmp_path / "people.csv", tmp_path / "balanced.csv"
    table.write_bytes(make_people_csv())
    run_example(server, "balance_table.py", str(table), "income", str(out), "40")
    with out.open() as lines:
        incomes = [row["income"] for row in csv.DictReader(lines)]
    assert sorted(incomes) == ["<=50K"] * 40 + [">50K"] * 40
