"""End-to-end tests with a real broker and a real Celery worker.

A dataset goes in over HTTP, a job trains a model, and samples come out. Some tests kill processes
on the way.
"""

import csv
import io
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
from click.testing import CliRunner
from semblance import APIError, Client
from semblance.command.main import app as command

from tests.core.webhooks.receiver import Receiver
from tests.processes import TIMEOUT_S, Server, eventually, serving
from tests.servers import BROKER
from tests.tiny_configs import TINY_IMAGE_CONFIG
from tests.uploads import make_people_csv

EXAMPLES = Path(__file__).parents[1] / "examples"

ALLOW_LOCAL_WEBHOOKS = {
    "SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS": '["127.0.0.1"]',
    "SEMBLANCE_WEBHOOK_ALLOW_HTTP": "true",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "data", **ALLOW_LOCAL_WEBHOOKS) as running:
        eventually(running.is_ready)
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with server.client() as connected:
        yield connected


def test_a_model_of_digits_is_trained_and_sampled_by_label(
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
    trained = client.wait(job["id"])
    assert (trained["result"]["step"], trained["result"]["model_version"]) == (30, "digits:1")
    assert "celery" in server.log()
    assert server.find("celery")
    assert BROKER is not None or server.find("redis-server")

    labels = {str(i): i + 1 for i in range(10)}
    with np.load(
        io.BytesIO(client.samples("digits", labels=labels, seed=7, format="npz"))
    ) as samples:
        assert samples["x"].shape == (55, 8, 8)
        assert np.bincount(samples["y"]).tolist() == list(labels.values())
    archive = client.samples("digits:1", count=20, seed=7)
    assert len(zipfile.ZipFile(io.BytesIO(archive)).namelist()) == 21

    (tmp_path / "samples.zip").write_bytes(archive)
    uploaded = client.upload(tmp_path / "samples.zip")
    assert uploaded["train_items"] == 20

    generation = client.generate("digits", labels={"3": 25}, seed=7, format="npz", shard_size=10)
    client.wait(generation["id"])
    files = client.download_artifacts(generation["id"], tmp_path / "shards")
    files[1].write_bytes(b"incomplete")
    modified_ns = files[0].stat().st_mtime_ns
    assert client.download_artifacts(generation["id"], tmp_path / "shards") == files
    assert files[0].stat().st_mtime_ns == modified_ns
    archive = client.samples("digits", labels={"3": 25}, seed=7, format="npz")
    with np.load(io.BytesIO(archive)) as expected:
        parts = [np.load(file)["x"] for file in files]
        assert np.array_equal(np.concatenate(parts), expected["x"])

    metrics = client.request("GET", f"/v1/jobs/{job['id']}/metrics").json()
    assert metrics["critic_accuracy_real"]["steps"] == [5, 10, 15, 20, 25, 30]
    previews = client.request("GET", f"/v1/jobs/{job['id']}/previews").json()
    preview = client.request("GET", previews[-1]["url"])
    assert preview.headers["content-type"] == "image/png"


def test_a_dataset_is_augmented_and_downloaded_on_the_command_line(
    server: Server, client: Client, tmp_path: Path
) -> None:
    dataset = client.create_builtin_dataset("digits")["id"]
    runner = CliRunner()
    key = (server.folder / "admin.key").read_text().strip()
    service = ["--key", key, "--url", server.url]
    options = ["--strategy", "multiply", "--target", "1.2", "--seed", "1", *service]
    plan = runner.invoke(command, ["augment", dataset, "--plan", *options])
    assert plan.exit_code == 0, plan.output
    assert len(plan.stdout.splitlines()) == 10  # labels
    before = client.request("GET", "/v1/datasets").json()["data"]
    augmented = runner.invoke(command, ["augment", dataset, *options])
    assert augmented.exit_code == 0, augmented.output
    created = client.request("GET", "/v1/datasets").json()["data"][0]
    assert augmented.stdout.strip() == created["id"]
    assert created["id"] not in {row["id"] for row in before}
    assert len(client.read_provenance(created["id"])) == created["train_items"]
    file = tmp_path / "augmented.npz"
    downloaded = runner.invoke(command, ["download", created["id"], str(file), *service])
    assert downloaded.exit_code == 0, downloaded.output
    with np.load(file) as arrays:
        assert len(arrays["x"]) == created["train_items"]
    report = client.read_artifact(created["derived_from"]["job"], "augmentation.json")
    assert report["seed"] == 1


def test_the_server_listens_on_localhost_only_and_its_files_are_private(
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


def test_a_second_server_on_the_same_folder_is_rejected(server: Server) -> None:
    command = Path(sys.executable).with_name("semblance-server")
    second = subprocess.run(
        [str(command), "up", "--data", str(server.folder), "--port", "1"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert second.returncode == 1
    assert "Another server" in second.stdout


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as serving:
        yield serving


def test_a_worker_delivers_webhook_messages(client: Client, receiver: Receiver) -> None:
    """The test does not call `deliver_due`; the worker does."""
    body = {"url": receiver.url, "events": ["job.cancelled"]}
    webhook = client.request("POST", "/v1/webhooks", json=body).json()
    dataset = client.create_builtin_dataset("digits")
    job = client.train(dataset["id"], budget={"steps": 1_000_000})
    client.request("POST", f"/v1/jobs/{job['id']}/cancel")
    eventually(lambda: receiver.received)
    (message,) = receiver.received
    assert message.is_signed_with(webhook["secret"])
    assert message.json["data"]["id"] == job["id"]

    def is_delivered() -> bool:
        (row,) = client.request("GET", webhook["links"]["deliveries"]).json()["data"]
        return bool(row["state"] == "delivered")

    eventually(is_delivered)
    client.request("DELETE", webhook["links"]["self"])


@pytest.mark.slow  # test_chaos.py kills a worker at each failpoint
def test_a_job_whose_worker_is_killed_resumes_from_its_last_checkpoint(
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
    checkpoints = eventually(lambda: client.request("GET", f"{path}/checkpoints").json())
    # The job runs in a child of Celery, or in a process of the poller if that one was faster.
    for words in ("multiprocessing", "spawn", "worker.run_once"):
        for process in server.find(words):
            kill(process)
    ended = client.wait(job["id"])
    events = client.request("GET", f"{path}/events?type=state&limit=50").json()["data"]
    states = [event["data"]["state"] for event in events]
    assert states == ["queued", "running", "queued", "running", "succeeded"]
    assert (ended["attempt"], ended["result"]["step"]) == (2, 600)
    assert f'"step": {checkpoints[0]["step"]}' in server.log() or "resuming from" in server.log()
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
    eventually(lambda: client.read_job(job["id"])["progress"]["step"] > 10)
    assert client.cancel(job["id"])["state"] == "cancelling"
    eventually(lambda: client.read_job(job["id"])["state"] == "cancelled")
    assert client.request("GET", f"/v1/jobs/{job['id']}/checkpoints").json()
    with pytest.raises(APIError, match="Allowed actions: retry") as rejected:
        client.cancel_job(job["id"])
    assert rejected.value.status == 409


@pytest.mark.slow  # test_chaos.py kills the API between commit and notification
def test_a_killed_api_is_restarted(server: Server, client: Client) -> None:
    (api,) = server.find("-m app")
    api.kill()
    eventually(lambda: not psutil.pid_exists(api.pid) or api.status() == psutil.STATUS_ZOMBIE)
    eventually(server.is_alive)
    assert client.request("GET", "/v1").json()["name"] == "Semblance"


@dataclass
class StoppedServer:
    """The exit status and output of a server, and the processes that it had while it was ready."""

    folder: Path
    status: int
    processes: list[psutil.Process]
    output: str


MIN_PROCESSES = 4 if BROKER is None else 3  # that the supervisor of a server starts


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> list[StoppedServer]:
    """Run two servers on one folder in turn; stop the first by SIGTERM, the second by Ctrl-C."""
    folder, results = tmp_path_factory.mktemp("stopped") / "data", []
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        with serving(folder) as server:
            eventually(server.is_ready)
            eventually(lambda: len(server.descendants()) >= MIN_PROCESSES)
            processes = server.descendants()
            status = server.stop(signal_number)
            assert server.process.stdout is not None
            results.append(StoppedServer(folder, status, processes, server.process.stdout.read()))
    return results


@pytest.mark.parametrize("index", [0, 1], ids=["SIGTERM", "SIGINT"])
def test_a_server_that_is_stopped_leaves_no_process_behind(
    stopped: list[StoppedServer], index: int
) -> None:
    processes = stopped[index].processes
    assert len(processes) >= MIN_PROCESSES
    assert stopped[index].status == 0
    gone, alive = psutil.wait_procs(processes, timeout=TIMEOUT_S)
    assert alive == []
    assert len(gone) == len(processes)


def test_the_first_key_is_stored_and_not_printed(stopped: list[StoppedServer]) -> None:
    first, second = stopped
    key = (first.folder / "admin.key").read_text().strip()
    assert str(first.folder / "admin.key") in first.output
    assert key not in first.output + second.output
    assert key not in (first.folder / "server.log").read_text()


@pytest.mark.slow  # test_chaos.py does the same with a wrong clock
def test_jobs_run_without_a_broker(tmp_path: Path) -> None:
    with serving(tmp_path / "data", SEMBLANCE_BROKER_URL="none") as server:
        eventually(server.is_ready)
        with server.client() as client:
            dataset = client.create_builtin_dataset("digits")
            job = client.train(
                dataset["id"], hyperparameters=TINY_IMAGE_CONFIG, budget={"steps": 10}
            )
            assert client.wait(job["id"])["attempt"] == 1
        assert server.find("redis-server") == []


def test_creating_the_api_does_not_import_torch() -> None:
    program = "import sys, app.main; app.main.create_app(); print('torch' in sys.modules)"
    completed = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert completed.stdout.strip() == "False"


def run_example(server: Server, name: str, *arguments: str) -> str:
    """Return the output of a program in `examples/`, run as a user would run it."""
    key = (server.folder / "admin.key").read_text().strip()
    completed = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=os.environ | {"SEMBLANCE_URL": server.url, "SEMBLANCE_KEY": key},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT_S,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_the_image_example_saves_the_requested_labels(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "digits.zip"
    assert "100 images" in run_example(server, "digits.py", str(out), "2")
    with zipfile.ZipFile(out) as archive:
        images = [name for name in archive.namelist() if name.endswith(".png")]
    folders = [name.split("/")[-2] for name in images]
    assert (folders.count("3"), folders.count("7"), len(images)) == (50, 50, 100)


@pytest.mark.slow
def test_the_table_example_balances_the_labels(server: Server, tmp_path: Path) -> None:
    table, out = tmp_path / "people.csv", tmp_path / "balanced.csv"
    table.write_bytes(make_people_csv())
    run_example(server, "balance_table.py", str(table), "income", str(out), "40")
    with out.open() as lines:
        incomes = [row["income"] for row in csv.DictReader(lines)]
    assert sorted(incomes) == ["<=50K"] * 40 + [">50K"] * 40
