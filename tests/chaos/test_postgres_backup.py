"""A copy by pg_dump and of the objects, made while a training runs, goes on elsewhere."""

import shutil
import subprocess
from pathlib import Path

import pytest
from semblance import Client
from sqlalchemy.engine import make_url

from tests.chaos.harness import serve_with_failpoints
from tests.postgres_cluster import IS_AVAILABLE, running
from tests.processes import eventually, serving
from tests.servers import execute

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2_400),
    pytest.mark.skipif(
        not IS_AVAILABLE or shutil.which("pg_dump") is None,
        reason="needs initdb, pg_ctl, pg_dump and psql of PostgreSQL",
    ),
]
STEPS = 300
SAMPLES = "/v1/models/{}/samples?format=npz"


def test_a_restored_dump_has_the_same_samples_and_goes_on_with_the_training(
    tmp_path: Path,
) -> None:
    with running() as cluster:
        options = {"SEMBLANCE_LEASE_SECONDS": "30", "SEMBLANCE_WORKER_THREADS": "1"}
        chaos = serve_with_failpoints(
            tmp_path / "original", database_url=cluster.url, **options | _url(cluster.url)
        )
        with chaos as first:
            done = first.wait_for_end(first.start_training(steps=5))
            model = done["result"]["model"]
            samples = _sample(first.client, model)
            job = first.start_training(steps=STEPS, checkpoint_interval=10)
            first.wait_for_step(job, 30)
            dump, copy = tmp_path / "dump.sql", tmp_path / "copy"
            _pg("pg_dump", cluster.url, "-f", str(dump))
            shutil.copytree(first.server.folder / "objects", copy / "objects")
            shutil.copy(first.server.folder / "admin.key", copy / "admin.key")
            ended = first.wait_for_end(job, within=600)
            assert ended["state"] == "succeeded"
            weights = _weights(first.client, ended["result"]["model"])

        execute(cluster.url, "CREATE DATABASE restored")
        restored = make_url(cluster.url).set(database="restored")
        url = restored.render_as_string(hide_password=False)
        _pg("psql", url, "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump))
        with serving(copy, **options | _url(url)) as server:
            eventually(server.is_ready)
            with server.client() as client:
                assert _sample(client, model) == samples
                assert client.read_job(job)["progress"]["step"] < STEPS
                again = eventually(
                    lambda: (view := client.read_job(job))["terminal"] and view, within=600
                )
                assert (again["state"], again["attempt"]) == ("succeeded", 2)
                assert _weights(client, again["result"]["model"]) == weights


def _url(url: str) -> dict[str, str]:
    return {"SEMBLANCE_DATABASE_URL": url}


def _pg(command: str, url: str, *options: str) -> None:
    """Run a command of PostgreSQL on the database."""
    parts = make_url(url)
    where = ["-h", str(parts.host), "-p", str(parts.port), "-U", str(parts.username)]
    subprocess.run([command, *where, "-d", str(parts.database), *options], check=True)


def _sample(client: Client, model: str) -> bytes:
    body = {"count": 20, "seed": 5}
    return client.request("POST", SAMPLES.format(model), json=body).content


def _weights(client: Client, model: str) -> str:
    return str(client.request("GET", f"/v1/models/{model}").json()["sha256"])
