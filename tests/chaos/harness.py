"""A server whose processes have failpoints, with actions on its jobs and a check of its tables."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from semblance import Client
from sqlalchemy import Engine, text

from core.database import make_engine, read
from core.storage import ObjectCorrupted, Storage, StoredObject
from tests import job_invariants
from tests.chaos import failpoints
from tests.processes import TIMEOUT_S, Server, eventually, external_services, serving
from tests.tiny_configs import TINY_IMAGE_CONFIG

FEW_METRICS_CONFIG = TINY_IMAGE_CONFIG | {"log_interval": 10}
ROOT = Path(__file__).parents[2]
SHORT_INTERVALS = {
    "SEMBLANCE_LEASE_SECONDS": "8",  # on a busy machine a thread may wait for seconds
    "SEMBLANCE_HEARTBEAT_SECONDS": "0.4",
    "SEMBLANCE_SWEEP_SECONDS": "0.3",
    "SEMBLANCE_POLL_SECONDS": "0.5",
    "SEMBLANCE_STEP_TIMEOUT_SECONDS": "5",
    "SEMBLANCE_PUBLISH_TIMEOUT_SECONDS": "1",
    "SEMBLANCE_SHUTDOWN_GRACE_SECONDS": "5",
    "SEMBLANCE_WORKER_THREADS": "1",
}


@dataclass
class ChaosServer:
    server: Server
    client: Client
    engine: Engine
    storage: Storage
    points: Path
    dataset: str
    model: str = ""

    def arm(self, point: str) -> None:
        (self.points / "armed" / point).touch()

    def disarm(self, point: str) -> None:
        (self.points / "armed" / point).unlink()

    def reached_at(self, point: str) -> float | None:
        path = self.points / "reached" / point
        return path.stat().st_mtime if path.exists() else None

    def start_training(
        self, steps: int = 40, *, checkpoint_interval: int = 10, **options: Any
    ) -> str:
        job = self.client.train(
            self.dataset,
            hyperparameters=FEW_METRICS_CONFIG,
            budget={"steps": steps},
            checkpoint={"interval_steps": checkpoint_interval},
            seed=1,
            **options,
        )
        return str(job["id"])

    def start_generation(self, count: int, shard_size: int, *, seed: int = 7) -> str:
        """Start a generation job; the first call trains the model."""
        if not self.model:
            job = self.wait_for_end(self.start_training(steps=5))
            assert job["state"] == "succeeded", job["error"]
            self.model = job["result"]["model"]
        body = {
            "kind": "generation",
            "model": self.model,
            "count": count,
            "shard_size": shard_size,
            "seed": seed,
            "format": "npz",
        }
        return str(self.client.request("POST", "/v1/jobs", json=body).json()["id"])

    def artifact_hashes(self, job_id: str) -> dict[str, str]:
        """Return the SHA-256 of each artifact except the manifest, which has the id of the job."""
        rows = self.client.request("GET", f"/v1/jobs/{job_id}/artifacts").json()
        return {row["name"]: row["sha256"] for row in rows if row["name"] != "manifest.json"}

    def shard_workers(self, job_id: str) -> set[int]:
        """Return the ids of the processes that generate shards of the job."""
        with self.engine.connect() as connection:
            query = text("SELECT owner FROM shards WHERE job_id = :id AND state = 'running'")
            owners = connection.execute(query, {"id": job_id}).scalars().all()
        return {int(owner.rsplit(":", 1)[1]) for owner in owners}

    def wait_for_end(self, job_id: str, within: float = 2 * TIMEOUT_S) -> dict[str, Any]:
        return eventually(
            lambda: (job := self.client.read_job(job_id))["terminal"] and job, within=within
        )

    def wait_for_step(self, job_id: str, step: int) -> None:
        eventually(lambda: self.client.read_job(job_id)["progress"]["step"] >= step)

    def find_owner(self, job_id: str) -> int:
        """Return the id of the process that runs the job."""

        def read_owner() -> str | None:
            with self.engine.connect() as connection:
                query = text("SELECT owner FROM jobs WHERE id = :id")
                return connection.execute(query, {"id": job_id}).scalar()

        return int(eventually(read_owner).rsplit(":", 1)[1])

    def states(self, job_id: str) -> list[str]:
        """Return all states that the job has had, in order."""
        url = f"/v1/jobs/{job_id}/events?type=state&limit=50"
        events = self.client.request("GET", url).json()["data"]
        return [event["data"]["state"] for event in events]

    def attempt_starts(self, job_id: str) -> list[float]:
        """Return the Unix time at which each attempt started."""
        with self.engine.connect() as connection:
            query = text(
                "SELECT data, created_at FROM events"
                " WHERE job_id = :id AND type = 'state' ORDER BY id"
            )
            rows = connection.execute(query, {"id": job_id}).all()
        return [_seconds(created_at) for data, created_at in rows if "running" in str(data)]

    def repeated_steps(self, job_id: str) -> int:
        """Return the largest number of steps that an attempt has repeated."""
        events = self.client.request("GET", f"/v1/jobs/{job_id}/events?limit=200").json()["data"]
        steps = [event["step"] or 0 for event in events if event["type"] == "metrics"]
        return max([0, *(a - b for a, b in pairwise(steps))])

    def check_tables(self) -> None:
        """Check the invariants of all tables."""
        with read(self.engine) as session:
            assert job_invariants.violations(session, self._is_stored) == []

    def _is_stored(self, stored: StoredObject) -> bool:
        try:
            self.storage.read(stored)
        except ObjectCorrupted:
            return False
        return True


def _seconds(created_at: Any) -> float:
    timestamp = datetime.fromisoformat(created_at) if isinstance(created_at, str) else created_at
    return (timestamp.replace(tzinfo=UTC) if timestamp.tzinfo is None else timestamp).timestamp()


def install_failpoints(folder: Path) -> Path:
    """Create a folder for the front of PYTHONPATH, with the failpoints."""
    for name in ("armed", "reached"):
        (folder / name).mkdir(parents=True)
    shutil.copy(failpoints.__file__, folder / "sitecustomize.py")
    return folder


def failpoint_environment(points_folder: Path) -> dict[str, str]:
    path = [str(points_folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return SHORT_INTERVALS | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


@contextmanager
def serve_with_failpoints(
    folder: Path, clock: int | None = None, database_url: str | None = None, **options: str
) -> Iterator[ChaosServer]:
    points = folder / "points"
    if not points.exists():
        install_failpoints(points)
    if clock is not None:
        (points / "clock").write_text(str(clock))
    data = folder / "data"
    url = database_url or external_services(data).get(
        "SEMBLANCE_DATABASE_URL", f"sqlite:///{data / 'semblance.db'}"
    )
    with serving(data, **failpoint_environment(points) | options) as server:
        eventually(server.is_ready)
        engine = make_engine(url)
        try:
            with server.client() as client:
                storage = Storage.from_url((data / "objects").as_uri(), folder)
                dataset = client.create_builtin_dataset("digits")["id"]
                yield ChaosServer(server, client, engine, storage, points, dataset)
        finally:
            engine.dispose()
