"""The command line while the API of a real service is killed.

The same command ends with 0 and the right bytes; the supervisor starts the API again meanwhile.
"""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from semblance import AsyncClient, Client

from tests.processes import Server, eventually, serving
from tests.tiny_configs import TINY_TABLE_CONFIG
from tests.uploads import make_people_csv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = 300_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # On a busy machine, a worker may be silent for longer than the short leases of other tests.
    folder = tmp_path_factory.mktemp("server") / "data"
    with serving(folder, SEMBLANCE_LEASE_SECONDS="30") as running:
        eventually(running.is_ready)
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with server.client() as connected:
        yield connected


@pytest.fixture(scope="module")
def people(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a tabular model."""
    table = tmp_path_factory.mktemp("upload") / "people.csv"
    table.write_bytes(make_people_csv())
    spec: Any = {"hyperparameters": TINY_TABLE_CONFIG, "budget": {"steps": 20}, "name": "people"}
    client.wait(client.train(client.upload(table, target="income")["id"], **spec)["id"])
    return "people"


class Command:
    """A command line in its own process."""

    def __init__(self, server: Server, folder: Path, *arguments: str | Path) -> None:
        key = (server.folder / "admin.key").read_text().strip()
        self.state = folder / "state"
        environment = {
            "SEMBLANCE_URL": server.url,
            "SEMBLANCE_KEY": key,
            "XDG_STATE_HOME": str(self.state),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "semblance.command", *map(str, arguments)],
            env=os.environ | environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> str:
        out, err = self.process.communicate(timeout=500)
        assert self.process.returncode == 0, err
        return out


def kill_api(server: Server, when: Callable[[], Any]) -> None:
    eventually(when, within=400)
    for process in server.find("-m app"):
        process.kill()
        psutil.wait_procs([process], timeout=10)


def test_training_is_watched_through_a_kill(server: Server, client: Client, tmp_path: Path) -> None:
    (tmp_path / "watched.csv").write_bytes(make_people_csv())
    arguments = ("--target", "income", "--preset", "fast", "--seed", "1")
    command = Command(server, tmp_path, "train", "watched.csv", *arguments)
    kill_api(server, lambda: list(client.iter_jobs(state="running")))
    assert command.finish() == "watched:1\n"


def test_samples_are_streamed_through_a_kill(
    server: Server, client: Client, people: str, tmp_path: Path
) -> None:
    whole = client.download_samples(people, tmp_path / "whole.csv", count=ROWS, seed=7)
    out = tmp_path / "new.csv"
    command = Command(server, tmp_path, "sample", people, out, "--count", str(ROWS), "--seed", "7")
    part = tmp_path / "new.csv.part"
    kill_api(server, lambda: part.exists() and part.stat().st_size > 100_000)
    assert not out.exists()
    command.finish()
    assert out.read_bytes() == whole.read_bytes()


def test_artifacts_are_downloaded_through_a_kill(
    server: Server, client: Client, people: str, tmp_path: Path
) -> None:
    job = client.wait(client.generate(people, count=ROWS, format="csv", seed=7)["id"])
    command = Command(server, tmp_path, "generate", job["id"], "files")
    kill_api(server, lambda: list((tmp_path / "files").glob("*")))
    files = [Path(line) for line in command.finish().splitlines()]
    expected = {row["name"]: row["sha256"] for row in client.list_artifacts(job["id"])}
    assert len(files) == job["resolved"]["shards"]  # type: ignore[typeddict-item]
    for file in files:
        content = (tmp_path / file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected[file.name]


def test_a_file_is_uploaded_through_a_kill(server: Server, client: Client, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6_000, 64, 64, 3), np.uint8)  # 70 MiB
    np.savez(tmp_path / "noise.npz", x=x, y=np.arange(len(x)) % 2)
    command = Command(server, tmp_path, "upload", "noise.npz")
    records = command.state / "semblance" / "uploads"

    def has_begun() -> bool:
        for record in records.glob("*.json"):
            upload = client.read_upload(json.loads(record.read_text())["upload"])
            return 1 <= len(upload["parts"]) < 9
        return False

    kill_api(server, has_begun)
    dataset = command.finish().strip()
    out = client.download_dataset(dataset, tmp_path / "back.npz")
    with np.load(out) as arrays:
        assert sorted(map(bytes, arrays["x"])) == sorted(map(bytes, x))
    assert list(records.iterdir()) == []


def test_hundreds_of_requests_share_one_pool_of_connections(
    server: Server, client: Client, people: str
) -> None:
    async def sample_all() -> set[bytes]:
        async with AsyncClient(client.url, client.key, patience=500) as shared:
            requests = (
                shared.samples(people, count=2, format="csv", seed=seed) for seed in range(500)
            )
            return set(await asyncio.gather(*requests))

    assert len(asyncio.run(sample_all())) == 500


def test_waiting_survives_a_minute_without_the_service(
    server: Server, client: Client, people: str
) -> None:
    """The supervisor is stopped, too, so that nobody starts the API again."""
    job = client.generate(people, count=1_000, format="csv")
    (api,) = server.find("-m app")
    server.process.send_signal(signal.SIGSTOP)
    api.kill()
    threading.Timer(60, server.process.send_signal, (signal.SIGCONT,)).start()
    assert client.wait(job["id"])["state"] == "succeeded"
